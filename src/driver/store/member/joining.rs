//! Opening a store as a member of a cluster.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::calls::Calls;
use super::certificates::Renewals;
use super::deciding::Deciding;
use super::messages::Messages;
use super::news::News;
use super::people::{People, about};
use super::place::{self, Found, Place, Stage};
use super::refusals::Refusals;
use super::{Beginning, ClusterOptions, Directory, Member, MemberOptions, Sight, mending};
use crate::driver::log::FileDisk;
use crate::driver::peer::{Links, Setup};
use crate::driver::store::ground::Ground;
use crate::driver::store::shared::{self, Shared};
use crate::driver::store::{Founded, Options, Store};
use crate::error::{Error, Result};
use crate::peer::Identity;
use crate::replication::progress::Progress;
use crate::replication::{Node, Role, Standing, Start};
use crate::store::engine::{Durability, Report};
use crate::store::index::Timestamp;
use crate::store::index::evict::Eviction;
use crate::store::log::{Disk, File, find_identity};
use crate::sys::{entropy, fork};
use crate::time::Instant;

/// So often a directory that is damaged is mended at one opening.
const MENDED_MAX: usize = 4;

impl Store {
    /// Opens the store in the directory `path` as a member of a cluster, or makes one there. Blocks while it reads the log;
    /// not until there is a primary: calls wait for that.
    ///
    /// Without [`Store::close`] a primary does not hand over; when it is merely dropped the others elect another once they
    /// miss it.
    ///
    /// # Errors
    ///
    /// Those of [`Store::open`]. `InvalidArgument` also for the directory of another cluster or node or of a store that is no
    /// member, for certificates that the other nodes would not take and addresses that the security does not allow;
    /// `Unsupported` for a hosted store.
    pub fn join(path: impl AsRef<Path>, options: Options, cluster: ClusterOptions) -> Result<Self> {
        let options = checked(options, &cluster)?;
        fork::watch();
        let random = entropy::bytes().map_err(|error| Error::io("read random bytes", &error))?;
        let word =
            |at: usize| u64::from_le_bytes(random[8 * at..8 * at + 8].try_into().expect("eight of 32 bytes"));
        let disk = Arc::new(FileDisk::new(path.as_ref())?);
        // The lock comes before all else: whoever has the directory open goes on undisturbed.
        lock(&disk)?;
        let has_log = disk
            .list()
            .map_err(|error| Error::io(format!("list {}", disk.dir().display()), &error))?
            .iter()
            .any(|file| matches!(file, File::Segment(_) | File::Snapshot(_)));
        let adopts = cluster.beginning == Beginning::Adopt;
        let label = || match find_identity(&*disk) {
            Err(Error::NotFound { .. }) if !adopts => Ok(None),
            found => found.map(Some),
        };
        let Place { found, label } =
            place::look(disk.folder(), &cluster.cluster, &cluster.node, has_log, label, adopts)?;
        if adopts && found == Found::Nothing && !has_log {
            let why = format!(
                "there is no store in {} that could become a node; take it out",
                disk.dir().display()
            );
            return Err(Error::invalid("beginning", why));
        }
        let identity = cluster.identity();
        let people = People::new(&cluster);
        let setup = Setup {
            identity: Identity {
                name: cluster.node.clone(),
                cluster: Some(identity.cluster),
                number: identity.node,
                boot: word(0),
                address: cluster.own().and_then(|it| it.address),
            },
            listen: cluster.listens_at(),
            peers: people.peers(),
            security: cluster.security.clone(),
            options: cluster.links.clone(),
            seed: word(1),
        };
        let links = Links::open(setup)?;
        if found == Found::Nothing {
            place::mark(disk.folder(), &cluster.cluster, &cluster.node, label, Stage::Opening)?;
        }
        let start = start(&cluster, Place { found, label }, has_log);
        // What is about to become a node is nowhere else.
        let is_alone = label.is_some() && found == Found::Nothing;
        let open = |start: &Start, seed| {
            Node::open(
                &*disk,
                options.engine.clone(),
                cluster.consensus(),
                identity,
                start,
                seed,
                shared::now(),
            )
        };
        let mut damage = Vec::new();
        let mut opened = open(&start, word(2));
        // What is damaged may show only once something else is mended.
        while let Err(error) = &opened
            && damage.len() < MENDED_MAX
            && !start.is_promoted
            && !is_alone
            && let Some(done) =
                mending::mend(&disk, error, &cluster, label, damage.is_empty(), found == Found::Damaged)?
        {
            damage.push(done);
            opened = open(&Start { is_damaged: true, label, ..Start::default() }, word(3));
        }
        let (node, report) = opened?;
        // Anew at every opening, so that a copy that was made before is seen even where its files were written into those that
        // are here.
        let settled = place::mark(disk.folder(), &cluster.cluster, &cluster.node, label, Stage::Settled);
        if found != Found::Original || !damage.is_empty() {
            settled?;
        } else if *node.standing() == Standing::Active {
            // What the file said is still so, if a full disk left no room for another.
            mending::clear(&disk);
        }
        let calls = Calls::new(word(0));
        let store = Self::found(disk, node, links, (people, calls), report.store, options, cluster)?;
        if !damage.is_empty() {
            store.inner.shared.tell_damage(damage);
        }
        Ok(store)
    }

    fn found(
        disk: Arc<FileDisk>,
        node: Node,
        links: Links,
        (people, calls): (People, Calls),
        report: Report,
        options: Options,
        cluster: ClusterOptions,
    ) -> Result<Self> {
        let own = cluster.identity().node;
        // Whose the log says it is: a store of one node that became a member is still its own.
        let identity = node.engine().identity();
        let reader = node.reader();
        let uses = (options.engine.eviction == Eviction::Lru).then(|| node.engine().uses());
        let sight = Arc::new(Sight::new(cluster.replication.tick * cluster.replication.election_ticks));
        let read_level = cluster.read;
        let mut member = Member {
            own,
            settings: options.engine.settings,
            people,
            calls,
            syncs: VecDeque::new(),
            replies: VecDeque::new(),
            out: VecDeque::new(),
            messages: Messages::default(),
            news: News::default(),
            sight: Arc::clone(&sight),
            held: None,
            deciding: Deciding::default(),
            fetches: VecDeque::new(),
            install: None,
            waker: links.waker(),
            is_rung: false,
            sweeps_at: Instant::START,
            lapsed_at: None,
            routes_at: Instant::START,
            looked: BTreeMap::new(),
            asks_at: Instant::START,
            is_newly_primary: false,
            told_role: Role::Idle,
            told_reign: false,
            is_topology_new: true,
            told_degraded: 0,
            told_progress: 0,
            progress: Progress::default(),
            renewals: Renewals::default(),
            is_reported: false,
            shown_time: Timestamp::default(),
            is_closed: false,
            is_cut_off: false,
            refusals: Refusals::default(),
            unsent_frames: 0,
            was_mending: false,
            mended: 0,
            options: cluster,
            node,
        };
        let members = member.node.members().clone();
        member.people.take(&members);
        let ground = Ground::Member(Box::new(member));
        let founded = Founded { ground, reader, uses, sight: Some(sight), read_level, report, identity };
        let store = Self::on(founded, &disk, options, None)?;
        let inner = &store.inner;
        let mut links = links;
        inner.spawn("trimtab-peers", &disk, move |shared: &Shared, _: &FileDisk| {
            shared.run_peers(&mut links)
        })?;
        inner.spawn("trimtab-catch", &disk, Shared::run_catching)?;
        Ok(store)
    }
}

/// What a cluster does not have is refused; what it decides is decided.
fn checked(mut options: Options, cluster: &ClusterOptions) -> Result<Options> {
    // The engine knows levels of one node alone.
    options.engine.durability = Durability::Local;
    options.check()?;
    cluster.check(options.engine.log.segment_bytes)?;
    let unsupported = |what, detail: &'static str| Err(Error::Unsupported { what, detail: detail.into() });
    if options.is_hosted {
        return unsupported("is_hosted", "a member of a cluster has threads of its own");
    }
    if options.identity.is_some() {
        let why = "a member's is made of the names of its cluster and node; take it out";
        return Err(Error::invalid("identity", why));
    }
    Ok(options)
}

fn lock(disk: &FileDisk) -> Result<()> {
    disk.lock().map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            let detail = format!("in {} is open already {error}", disk.dir().display());
            Error::State { what: "store", detail: detail.into() }
        }
        _ => Error::io(format!("lock {}", disk.dir().display()), &error),
    })
}

fn start(cluster: &ClusterOptions, place: Place, has_log: bool) -> Start {
    let Place { found, label } = place;
    let is_begun = found != Found::Nothing;
    let nodes = match (is_begun, cluster.beginning) {
        (false, Beginning::New | Beginning::Adopt) => {
            // Who has a store already begins alone. What was begun once goes on so, also when it is not asked for again.
            let is_wanted = |it: &&MemberOptions| label.is_none() || it.name == cluster.node;
            let mut nodes: Vec<(u64, bool, Vec<u8>)> = cluster
                .members
                .iter()
                .filter(is_wanted)
                .map(|it| (super::options::number_of(&it.name), !it.is_learner, about(&it.name, it.address)))
                .collect();
            nodes.sort();
            nodes
        }
        _ => Vec::new(),
    };
    let is_copy = match (cluster.directory, found) {
        (Directory::Copy, _) | (Directory::Detect, Found::Copy) => true,
        // What it may have promised before its directory was lost is not known.
        (_, Found::Nothing) => cluster.beginning == Beginning::Join,
        _ => !has_log,
    };
    Start {
        nodes,
        label,
        is_copy,
        is_damaged: found == Found::Damaged,
        is_promoted: cluster.directory == Directory::Promoted && is_begun,
    }
}
