use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Vec<u8>>)>;

/// Leaves at one depth, fences between their neighbours, counts right, nothing empty or too large.
fn check(tree: &Tree) {
    fn depth(node: &Node, low: &[u8], high: Option<&[u8]>, is_root: bool) -> (u32, u64) {
        match node {
            Node::Leaf(leaf) => {
                let page = leaf.page();
                // A leaf may be larger than LEAF_MAX after a key that shares no prefix came in, until it splits.
                assert!((1..=LEAF_ENTRIES_MAX).contains(&page.len()));
                let mut before: Option<Vec<u8>> = None;
                for at in 0..page.len() {
                    let mut key = Vec::new();
                    page.key_into(at, &mut key);
                    assert!(before.is_none_or(|before| before < key), "in order");
                    assert!(key.as_slice() >= low && high.is_none_or(|high| key.as_slice() < high));
                    before = Some(key);
                }
                (0, page.len() as u64)
            }
            Node::Inner(inner) => {
                assert_eq!(inner.fences.page().len() + 1, inner.children.len());
                assert!(inner.children.len() <= CHILDREN_MAX && (!is_root || inner.children.len() > 1));
                let fences: Vec<Vec<u8>> = (0..inner.fences.page().len())
                    .map(|at| {
                        let mut key = Vec::new();
                        inner.fences.page().key_into(at, &mut key);
                        key
                    })
                    .collect();
                assert!(fences.is_sorted());
                let mut depths = Vec::new();
                let mut sum = 0;
                for (at, child) in inner.children.iter().enumerate() {
                    let low = if at == 0 { low } else { &fences[at - 1] };
                    let high = fences.get(at).map_or(high, |fence| Some(fence));
                    let (below, len) = depth(&child.node, low, high, false);
                    assert_eq!(len, child.len);
                    depths.push(below);
                    sum += len;
                }
                assert!(depths.iter().all(|depth| *depth == depths[0]));
                (depths[0] + 1, sum)
            }
        }
    }
    let len = tree.root.as_ref().map_or(0, |root| depth(root, b"", None, true).1);
    assert_eq!(len, tree.len());
}

fn equal(tree: &Tree, model: &Model) {
    let mut seen = Vec::new();
    let _ = tree.scan(b"", None, false, |key, cell| {
        seen.push((key.to_vec(), (cell.small.to_vec(), cell.large.map(|large| large.to_vec()))));
        ControlFlow::<()>::Continue(())
    });
    let expected: Vec<_> = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert_eq!(seen, expected);
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, usize, bool),
    Remove(usize),
    Scan(Vec<u8>, Vec<u8>, bool),
    Clone,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..400u32).prop_map(|n| format!("user:{n:06}").into_bytes()),
        2 => proptest::collection::vec(0..3u8, 0..6),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (0..4u8, 200..400usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), 0..200usize, prop::bool::weighted(0.1)).prop_map(|(key, len, large)| Step::Put(key, len, large)),
        4 => any::<usize>().prop_map(Step::Remove),
        1 => (key(), key(), any::<bool>()).prop_map(|(a, b, reverse)| Step::Scan(a, b, reverse)),
        1 => Just(Step::Clone),
    ]
}

fn small(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n + len) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_a_btree_map_and_clones_stay(steps in proptest::collection::vec(step(), 1..600)) {
        let (mut tree, mut model, mut scratch) = (Tree::default(), Model::new(), Scratch::default());
        let mut clones = Vec::new();
        for step in steps {
            match step {
                Step::Put(key, len, is_large) => {
                    let large: Option<Arc<[u8]>> = is_large.then(|| Arc::from(small(len + 1)));
                    let cell = Cell { small: &small(len), large: large.as_ref() };
                    tree.put(&key, cell, &mut scratch);
                    model.insert(key, (small(len), large.map(|large| large.to_vec())));
                }
                Step::Remove(at) => {
                    let key = model.keys().nth(at % (model.len() + 1)).cloned().unwrap_or(b"none".to_vec());
                    prop_assert_eq!(tree.remove(&key, &mut scratch), model.remove(&key).is_some());
                }
                Step::Scan(a, b, reverse) => {
                    let mut seen = Vec::new();
                    let _ = tree.scan(&a, Some(&b), reverse, |key, _| {
                        seen.push(key.to_vec());
                        ControlFlow::<()>::Continue(())
                    });
                    let mut expected: Vec<_> =
                        model.keys().filter(|key| **key >= a && **key < b).cloned().collect();
                    prop_assert_eq!(tree.count(&a, Some(&b)), expected.len() as u64);
                    if reverse {
                        expected.reverse();
                    }
                    prop_assert_eq!(seen, expected);
                    prop_assert_eq!(tree.get(&a).is_some(), model.contains_key(&a));
                }
                Step::Clone => clones.push((tree.clone(), model.clone())),
            }
        }
        clones.push((tree, model));
        for (tree, model) in &clones {
            check(tree);
            equal(tree, model);
        }
    }
}

#[test]
fn many_keys_come_and_go() {
    let (mut tree, mut scratch, mut rng) = (Tree::default(), Scratch::default(), Rng::new(7));
    let key = |n: u64| format!("key:{:012}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30).into_bytes();
    let mut model = Model::new();
    for n in 0..30_000 {
        tree.put(&key(n), Cell::small(b"12345678"), &mut scratch);
        model.insert(key(n), (b"12345678".to_vec(), None));
    }
    check(&tree);
    equal(&tree, &model);
    let mut found = Vec::new();
    for (rank, key) in model.keys().enumerate().step_by(97) {
        assert_eq!(tree.rank(key), rank as u64);
        assert!(tree.nth(rank as u64, &mut found).is_some());
        assert_eq!(&found, key);
    }
    assert!(tree.nth(30_000, &mut found).is_none());
    let view = tree.clone();
    while !model.is_empty() {
        let from = key(rng.below(30_000));
        let next = model.range(from..).next().or(model.iter().next()).map(|(key, _)| key.clone());
        let next = next.expect("it is not empty");
        assert!(tree.remove(&next, &mut scratch));
        model.remove(&next);
        if model.len().is_multiple_of(3_000) {
            check(&tree);
            equal(&tree, &model);
        }
    }
    assert!(tree.root.is_none());
    check(&view);
    assert_eq!(view.len(), 30_000);
}

#[test]
fn keys_in_order_fill_their_leaves() {
    fn bytes(node: &Node) -> (usize, usize) {
        match node {
            Node::Leaf(leaf) => (1, leaf.page().size()),
            Node::Inner(inner) => inner
                .children
                .iter()
                .map(|child| bytes(&child.node))
                .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        }
    }
    let (mut tree, mut scratch) = (Tree::default(), Scratch::default());
    for n in 0..20_000u32 {
        tree.put(format!("key:{n:012}").as_bytes(), Cell::small(b"12345678"), &mut scratch);
    }
    let (leaves, size) = bytes(tree.root.as_ref().unwrap());
    assert!(
        20_000 / leaves > LEAF_ENTRIES_MAX * 3 / 4 || size / leaves > LEAF_MAX * 3 / 4,
        "{leaves} {size}"
    );
}
