//! A ketama ring that places keys as nginx `hash ... consistent` does (which follows the Perl module
//! `Cache::Memcached::Fast`): CRC-32 points, 160 for each unit of weight. Its outcome is that of
//! `pingora-ketama`, a port of nginx's, and the tests hold the two against each other. Departures:
//!
//! - Where two members meet on one point, nginx and `pingora-ketama` leave the owner to an unstable sort;
//!   here the lesser name owns it. Ten members of weight 1 hardly ever meet; 10,000 do at some 300 points.
//! - IPv6 hosts are hashed without brackets, as `pingora-ketama` does. nginx takes the text of its `server`
//!   line, brackets included, so there the two differ.
//! - Beyond [`POINTS_MAX`] points in all, members get fewer in proportion, at least one each. A member's
//!   fewer points are the first of its many, but a member that comes or goes then takes or gives some points
//!   of all the others, and a light member beside very heavy ones has more than its share in its one point.
//!
//! A look-up costs about one cache miss however large the ring is, where a search by halving costs a dozen.
//! Points lie in order in one table with gaps, each in the slot the high bits of its hash name or, if that
//! is taken, soon after (linear probing in order: Amble and Knuth, "Ordered hash tables", 1974). A gap stands
//! for the point after it. So the owner of a key is in the first slot, from the key's own on, that is not
//! below the key.

use std::sync::Arc;

use crate::balance::draw::MEMBERS_MAX;
use crate::balance::hashing::Place;

/// The points of all members, in order.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    /// The low bits of the hash, then `member_bits` of member. The high bits of the hash are left out: all
    /// that a look-up meets is so close to the key that the difference, modulo what is left, has the right
    /// sign. A gap holds the greatest hash of its slot and the member of the point after it. Behind the
    /// slots that hashes name come those that points were moved to, and [`WINDOW`] gaps.
    slots: Arc<[u32]>,
    /// 32 less the binary logarithm of the number of slots that hashes name.
    shift: u32,
    member_bits: u32,
}

impl Ring {
    /// The ring of `places`. Two places of one name count as the first.
    pub(crate) fn build(places: &[Place<'_>]) -> Self {
        assert!(places.len() <= MEMBERS_MAX);
        let wanted = places.iter().map(|place| u64::from(place.weight) * POINTS_PER_WEIGHT).sum::<u64>();
        let mut points: Vec<u64> = Vec::with_capacity(wanted.min(POINTS_MAX) as usize + places.len());
        for (member, place) in places.iter().enumerate() {
            let mut count = u64::from(place.weight) * POINTS_PER_WEIGHT;
            if wanted > POINTS_MAX {
                count = (count * POINTS_MAX / wanted).max(1);
            }
            let base = name_hash(place.name);
            // Each point hashes the one before it, so a lighter member's points are a heavier one's first.
            let mut hash = 0u32;
            for _ in 0..count {
                let mut hasher = base.clone();
                hasher.update(&hash.to_le_bytes());
                hash = hasher.finalize();
                points.push(u64::from(hash) << 32 | member as u64);
            }
        }
        points.sort_unstable();
        let name = |point: u64| places[point as u32 as usize].name;
        points.dedup_by(|later, kept| {
            let same = *later >> 32 == *kept >> 32;
            if same && name(*later) < name(*kept) {
                *kept = *later;
            }
            same
        });

        if points.is_empty() {
            return Self { slots: Arc::default(), shift: 31, member_bits: 0 };
        }
        let member_bits = usize::BITS - (places.len() - 1).leading_zeros();
        // At most four slots in five are taken, or moved points pile up. 160 points a member, or 64 where
        // they are scaled down, make this 7 above `member_bits` anyway.
        let bits = (points.len() * 5 / 4).next_power_of_two().ilog2().max(member_bits + 7);
        // Random points never need more room than the first try gives. Points crafted to pile up might.
        let mut table = lay_out(&points, bits, member_bits);
        for bits in bits + 1..bits + 3 {
            if table.1 > 0 {
                table = lay_out(&points, bits, member_bits);
            }
        }
        table.0
    }

    /// The slot of the point that owns `hash`: the first at or after it, around the end. 0 when there are
    /// no members.
    #[inline]
    pub(crate) fn locate(&self, hash: u32) -> usize {
        let mut slot = (hash >> self.shift) as usize;
        let sought = hash << self.member_bits;
        // How far it is cannot be predicted, and a wrong guess costs more than looking at some more.
        while let Some(window) = self.slots.get(slot..slot + WINDOW) {
            let below = window.iter().map(|point| is_below(*point, sought)).sum::<u32>();
            slot += below as usize;
            if below < WINDOW as u32 {
                return slot;
            }
        }
        0
    }

    /// Whose point is in `slot`, which must be below [`slots`](Self::slots).
    #[inline]
    pub(crate) fn member(&self, slot: usize) -> u32 {
        self.slots[slot] & ((1 << self.member_bits) - 1)
    }

    /// The slot after `slot`, around the end. Its point is the one after, or the same where there was a gap.
    #[inline]
    pub(crate) fn next(&self, slot: usize) -> usize {
        if slot + 1 < self.slots.len() { slot + 1 } else { 0 }
    }

    /// How many slots there are, gaps among them; 0 for a ring without members.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }
}

/// 1 when `point` is below `sought`, given that they are less than half of all hashes apart.
#[inline]
fn is_below(point: u32, sought: u32) -> u32 {
    point.wrapping_sub(sought) >> 31
}

/// The ring of `points`, which ascend, over 2^`bits` slots, and how many points found no room in it: those
/// that would have to move so far that differences no longer tell which way.
fn lay_out(points: &[u64], bits: u32, member_bits: u32) -> (Ring, usize) {
    let shift = 32 - bits;
    let reach = (1usize << (bits - member_bits - 1)) - 2 * WINDOW;
    let mut slots: Vec<u32> = Vec::with_capacity((1 << bits) + reach + WINDOW);
    let gap = |slot: usize, member: u32| {
        let greatest = (((slot as u64 + 1) << shift) - 1) as u32;
        greatest << member_bits | member
    };
    let mut left_out = 0;
    for &point in points {
        let (hash, member) = ((point >> 32) as u32, point as u32);
        let home = (hash >> shift) as usize;
        while slots.len() < home {
            slots.push(gap(slots.len(), member));
        }
        if slots.len() - home > reach {
            left_out += 1;
        } else {
            slots.push(hash << member_bits | member);
        }
    }
    // Past the last point comes the first.
    let first = points.first().map_or(0, |point| *point as u32);
    let len = slots.len().max(1 << bits) + WINDOW;
    while slots.len() < len {
        slots.push(gap(slots.len(), first));
    }
    (Ring { slots: slots.into(), shift, member_bits }, left_out)
}

/// CRC-32 over host, a zero byte and port. As in nginx, a name without a port counts as a host alone, and
/// `unix:` before a path is left out.
fn name_hash(name: &[u8]) -> crc32fast::Hasher {
    let (host, port) = match name.iter().rposition(|byte| *byte == b':') {
        _ if name.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"unix:")) => {
            (&name[5..], &[][..])
        }
        Some(colon) if name[colon + 1..].iter().all(u8::is_ascii_digit) => {
            (&name[..colon], &name[colon + 1..])
        }
        _ => (name, &[][..]),
    };
    let host = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(host);
    hasher.update(&[0]);
    hasher.update(port);
    hasher
}

/// nginx's number, on which placement rests.
const POINTS_PER_WEIGHT: u64 = 160;

/// The most points of a ring (besides at least one for each member): 32 MiB, as much again while building,
/// and some tenths of a second of it. 26,214 members of weight 1 reach it.
pub(crate) const POINTS_MAX: u64 = 1 << 22;

/// How many slots are looked at together: half a cache line.
const WINDOW: usize = 8;

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use pingora_ketama::{Bucket, Continuum};
    use proptest::prelude::*;

    use super::*;
    use crate::balance::hashing::key::hash32;
    use crate::rng::Rng;

    fn ring(members: &[(String, u32)]) -> Ring {
        let places: Vec<_> =
            members.iter().map(|(name, weight)| Place { name: name.as_bytes(), weight: *weight }).collect();
        Ring::build(&places)
    }

    fn members(count: u32, weight: impl Fn(u32) -> u32) -> Vec<(String, u32)> {
        (0..count).map(|n| (format!("10.{}.{}.{}:80", n >> 16, n >> 8 & 255, n & 255), weight(n))).collect()
    }

    fn owner<'a>(ring: &Ring, members: &'a [(String, u32)], hash: u32) -> &'a str {
        &members[ring.member(ring.locate(hash)) as usize].0
    }

    /// The points as an independent build has them, ascending: hash and member.
    fn points(members: &[(String, u32)]) -> Vec<(u32, u32)> {
        let mut points = std::collections::BTreeMap::new();
        for (member, (name, weight)) in members.iter().enumerate() {
            let (host, port) = name.rsplit_once(':').expect("the tests name host and port");
            let mut hash = 0u32;
            for _ in 0..160 * weight {
                hash = hash32(&[host.as_bytes(), b"\0", port.as_bytes(), &hash.to_le_bytes()].concat());
                let owner = points.entry(hash).or_insert(member);
                if *name < members[*owner].0 {
                    *owner = member;
                }
            }
        }
        points.into_iter().map(|(hash, member)| (hash, member as u32)).collect()
    }

    /// From the tests of `pingora-ketama`, where they are said to come from an nginx.
    #[test]
    fn places_as_nginx_does() {
        let members = [("127.0.0.1:7777".into(), 1), ("127.0.0.1:7778".into(), 1)];
        let ring = ring(&members);
        for (key, expected) in [
            ("/some/path", "127.0.0.1:7778"),
            ("/some/longer/path", "127.0.0.1:7777"),
            ("/sad/zaidoon", "127.0.0.1:7778"),
            ("/g", "127.0.0.1:7777"),
            ("/pingora/team/is/cool/and/this/is/a/long/uri", "127.0.0.1:7778"),
            ("/i/am/not/confident/in/this/code", "127.0.0.1:7777"),
        ] {
            assert_eq!(owner(&ring, &members, hash32(key.as_bytes())), expected, "{key}");
        }
    }

    #[test]
    fn names_without_host_and_port_are_hashed_as_in_nginx() {
        let of = |parts: &[&[u8]]| hash32(&parts.concat());
        for (name, host, port) in [
            ("10.0.0.1:80", "10.0.0.1", "80"),
            ("[::1]:80", "::1", "80"),
            ("unix:/run/app.sock", "/run/app.sock", ""),
            ("/run/app.sock", "/run/app.sock", ""),
            ("/run/app:x", "/run/app:x", ""),
            ("example.org", "example.org", ""),
            ("", "", ""),
        ] {
            let expected = of(&[host.as_bytes(), b"\0", port.as_bytes()]);
            assert_eq!(name_hash(name.as_bytes()).finalize(), expected, "{name}");
        }
    }

    #[test]
    fn a_ring_of_nobody_has_no_slots() {
        let ring = Ring::build(&[]);
        assert_eq!((ring.slots(), ring.locate(0), ring.locate(u32::MAX), ring.next(0)), (0, 0, 0, 0));
    }

    #[test]
    fn lookups_agree_with_a_search_by_halving() {
        for members in
            [members(1, |_| 1), members(3, |_| 1), members(40, |n| 1 + n % 9), members(2000, |_| 1)]
        {
            let ring = ring(&members);
            let points = points(&members);
            let mut rng = Rng::new(9);
            let near = points.iter().step_by(1 + points.len() / 5000);
            let near = near.flat_map(|(hash, _)| [hash.wrapping_sub(1), *hash, hash.wrapping_add(1)]);
            let ends = [0, 1, u32::MAX, points[0].0, points[points.len() - 1].0.wrapping_add(1)];
            for hash in near.chain(ends).chain((0..5000).map(|_| rng.next_u64() as u32)) {
                let expected = points[points.partition_point(|point| point.0 < hash) % points.len()].1;
                assert_eq!(ring.member(ring.locate(hash)), expected, "{hash:#x}");
            }
        }
    }

    /// From any key on, `next` comes by the owners of all points in their order, and around.
    #[test]
    fn next_walks_the_ring_in_order() {
        let members = members(5, |n| 1 + n);
        let (ring, points) = (ring(&members), points(&members));
        let mut expected: Vec<u32> = points.iter().map(|point| point.1).collect();
        expected.dedup();
        for hash in [0, points[0].0 + 1, points[700].0, u32::MAX / 3, u32::MAX] {
            let mut slot = ring.locate(hash);
            let mut walked = Vec::new();
            for _ in 0..ring.slots() {
                walked.push(ring.member(slot));
                slot = ring.next(slot);
            }
            assert_eq!(slot, ring.locate(hash));
            walked.dedup();
            let from = points.partition_point(|point| point.0 < hash) % points.len();
            let mut due: Vec<u32> =
                (0..points.len()).map(|step| points[(from + step) % points.len()].1).collect();
            due.dedup();
            // The walk may end on the owner it began with, where it began in a run of gaps.
            assert!(walked == due || walked[..walked.len() - 1] == due || walked == due[..due.len() - 1]);
        }
    }

    /// Points that pile up are moved on, and those that would move too far are left out, without a panic.
    #[test]
    fn piled_up_points_find_room_or_are_left_out() {
        let near = |count: u64| (0..count).map(|n| ((0x8000_0000 + n) << 32) | (n % 4)).collect::<Vec<_>>();
        let (ring, left_out) = lay_out(&near(40), 10, 2);
        assert_eq!(left_out, 0);
        for n in 0..40u32 {
            assert_eq!(ring.member(ring.locate(0x8000_0000 + n)), n % 4);
        }
        assert_eq!(ring.member(ring.locate(0x8000_0028)), 0);
        let (ring, left_out) = lay_out(&near(4000), 10, 2);
        assert!(left_out > 3000);
        for hash in [0, 0x7fff_ffff, 0x8000_0000, 0x8000_0800, u32::MAX] {
            assert!(ring.locate(hash) < ring.slots());
        }
        let end: Vec<u64> = (0..40).map(|n| (u64::from(u32::MAX) - 39 + n) << 32 | 1).collect();
        let (ring, _) = lay_out(&end, 10, 2);
        assert_eq!(ring.member(ring.locate(u32::MAX)), 1);
        assert_eq!(ring.member(ring.locate(0)), 1);
    }

    /// Exactly the keys of the member that leaves move, and they come back with it.
    #[test]
    fn only_the_keys_of_a_leaver_move() {
        let members = members(20, |n| 1 + n % 3);
        let whole = ring(&members);
        for leaver in [0, 7, 19] {
            let mut rest = members.clone();
            let (name, weight) = rest.remove(leaver);
            let without = ring(&rest);
            let mut moved = 0;
            for key in 0..20_000u32 {
                let hash = hash32(&key.to_le_bytes());
                let before = owner(&whole, &members, hash);
                if before == name {
                    moved += 1;
                } else {
                    assert_eq!(owner(&without, &rest, hash), before);
                }
            }
            let share = f64::from(weight) / members.iter().map(|member| f64::from(member.1)).sum::<f64>();
            assert!((0.7..1.3).contains(&(f64::from(moved) / 20_000.0 / share)), "{moved} for {share}");
            rest.push((name, weight));
            let back = ring(&rest);
            for key in 0..20_000u32 {
                let hash = hash32(&key.to_le_bytes());
                assert_eq!(owner(&back, &rest, hash), owner(&whole, &members, hash));
            }
        }
    }

    /// The arcs of a member with p points add up to its share within about 1 / sqrt(p).
    #[test]
    fn arcs_follow_the_weights() {
        for members in [members(10, |_| 1), members(10, |n| n + 1), members(200, |n| 1 + n % 4)] {
            let points = points(&members);
            let mut arcs = vec![0u64; members.len()];
            let mut before = points[points.len() - 1].0;
            for (hash, member) in points {
                arcs[member as usize] += u64::from(hash.wrapping_sub(before));
                before = hash;
            }
            assert_eq!(arcs.iter().sum::<u64>(), 1 << 32);
            let total = members.iter().map(|member| f64::from(member.1)).sum::<f64>();
            for (arc, (name, weight)) in arcs.into_iter().zip(&members) {
                let ratio = arc as f64 / (1u64 << 32) as f64 / (f64::from(*weight) / total);
                let deviation = 1.0 / f64::from(160 * weight).sqrt();
                assert!((ratio - 1.0).abs() < 4.5 * deviation, "{name}: {ratio}");
            }
        }
    }

    /// Shares as 65,536 hashes spread evenly see them.
    fn sampled(ring: &Ring, members: usize) -> Vec<u32> {
        let mut counts = vec![0; members];
        for step in 0..=0xffffu32 {
            counts[ring.member(ring.locate(step << 16)) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_full_ring_is_scaled_down() {
        let all = members(65_536, |_| 1);
        let ring = ring(&all);
        let mut present = vec![false; all.len()];
        for slot in 0..ring.slots() {
            present[ring.member(slot) as usize] = true;
        }
        assert!(present.iter().all(|present| *present));
        assert!(ring.slots() <= (1 << 23) + (1 << 10));
        let counts = sampled(&ring, all.len());
        assert!(counts.iter().all(|count| *count < 12), "one each is due");
    }

    #[test]
    fn a_giant_leaves_room_for_the_light() {
        let two = ring(&members(2, |n| if n == 0 { 65_535 } else { 1 }));
        assert!(sampled(&two, 2)[1] <= 8, "one is due");
        assert!((0..two.slots()).any(|slot| two.member(slot) == 1));
        // Here the light member's proportion is below one point.
        let many = ring(&members(2000, |n| if n == 77 { 1 } else { 65_535 }));
        assert!((0..many.slots()).any(|slot| many.member(slot) == 77));
    }

    /// Among so many some meet on a point: whoever has the lesser name owns it.
    #[test]
    fn a_shared_point_does_not_depend_on_the_order_of_members() {
        let members = members(2000, |_| 1);
        let reversed: Vec<_> = members.iter().rev().cloned().collect();
        assert!(points(&members).len() < 2000 * 160, "some points are shared");
        let (one, other) = (ring(&members), ring(&reversed));
        assert_eq!(one.slots(), other.slots());
        for slot in 0..one.slots() {
            assert_eq!(one.member(slot), 1999 - other.member(slot));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn is_the_ring_of_pingora(
            addresses in proptest::collection::btree_set(any::<(IpAddr, u16)>(), 1..12),
            weights in proptest::collection::vec(1u32..=10, 12),
            keys in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 200),
        ) {
            let addresses: Vec<_> = addresses.into_iter().map(SocketAddr::from).collect();
            let pairs = || addresses.iter().zip(&weights);
            let buckets: Vec<_> = pairs().map(|(address, weight)| Bucket::new(*address, *weight)).collect();
            let theirs = Continuum::new(&buckets);
            let members: Vec<_> = pairs().map(|(a, weight)| (a.to_string(), *weight)).collect();
            let ours = ring(&members);
            for key in keys {
                let hash = hash32(&key);
                let member = ours.member(ours.locate(hash));
                // Where two members meet on a point, theirs is either.
                if Some(addresses[member as usize]) != theirs.node(&key) {
                    let points = points(&members);
                    let point = points[points.partition_point(|point| point.0 < hash) % points.len()];
                    let sharers = (0..members.len()).filter(|member| {
                        let alone = self::points(&members[*member..=*member]);
                        alone.binary_search_by_key(&point.0, |point| point.0).is_ok()
                    });
                    prop_assert!(point.1 == member && sharers.count() > 1);
                }
            }
        }
    }
}
