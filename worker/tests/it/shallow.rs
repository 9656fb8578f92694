//! Copies that hold the last commits of a history alone.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use makima_shared::domain::MergeStrategy;
use makima_worker::git::Cancel;
use makima_worker::repository::{RepositoryCache, RepositoryError};
use makima_worker::workspace::{
    Author, Base, MergeRequest, Merged, PushError, SavedCommits, Upstream, Workspace, commit_result, push,
    push_merge, snapshot,
};

use crate::fixture::{Fixture, bundle, checkpoint, git, restore_bundle, restore_patch, write};
use crate::served::{serve, serve_files, serve_times};

const DEPTH: u32 = 5;
const COMMITS: usize = 40;

/// A remote with a long history, and copies of it at several depths.
struct Scene {
    fixture: Fixture,
    made: std::cell::Cell<u32>,
}

impl Scene {
    fn new() -> Self {
        let fixture = Fixture::new();
        let scene = Self { fixture, made: 0.into() };
        scene.grow("main", COMMITS - 1);
        scene
    }

    fn at(&self, path: &str) -> PathBuf {
        self.fixture.dir.path().join(path)
    }

    fn file_url(&self) -> String {
        format!("file://{}", self.fixture.url())
    }

    /// Adds commits to a branch of the remote, each with a change of its own.
    fn grow(&self, branch: &str, count: usize) {
        let from = git(&self.fixture.remote(), &["rev-parse", branch]);
        self.import(branch, Some(&from), count);
    }

    fn import(&self, branch: &str, from: Option<&str>, count: usize) {
        let mut stream = String::new();
        for number in 0..count {
            let serial = self.made.replace(self.made.get() + 1);
            writeln!(
                stream,
                "commit refs/heads/{branch}\ncommitter A <a@b> {} +0000",
                1_700_000_000 + serial
            )
            .unwrap();
            writeln!(stream, "data 1\nx").unwrap();
            if let (0, Some(from)) = (number, from) {
                writeln!(stream, "from {from}").unwrap();
            }
            let content = format!("{branch} {serial}\n");
            writeln!(stream, "M 644 inline history/{branch}\ndata {}\n{content}", content.len()).unwrap();
        }
        let mut importing = Command::new("git")
            .args(["fast-import", "--quiet", "--force"])
            .current_dir(self.fixture.remote())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut importing.stdin.take().unwrap(), stream.as_bytes()).unwrap();
        assert!(importing.wait().unwrap().success());
    }

    fn cache(&self, name: &str, depth: u32) -> RepositoryCache {
        RepositoryCache::new(self.at(name)).with_depth(depth)
    }

    fn rev(&self, name: &str) -> String {
        git(&self.fixture.remote(), &["rev-parse", name])
    }

    fn workspace(&self, git_dir: &Path, commit: &str, url: &str) -> Workspace {
        let number = self.made.replace(self.made.get() + 1);
        let base = Base { cache_git_dir: git_dir, commit, branch_name: Some("main"), url: Some(url) };
        Workspace::create(&self.at(&format!("tasks/{number}")), &base, &Cancel::default()).unwrap()
    }

    /// Fetches a branch and makes a workspace on it.
    fn begun(&self, cache: &RepositoryCache, url: &str, branch: &str) -> Workspace {
        let fetched = cache.fetch(url, Some(branch), &Cancel::default()).unwrap();
        assert_eq!(fetched.base_commit, self.rev(branch));
        self.workspace(&fetched.git_dir, &fetched.base_commit, url)
    }
}

/// Makes sure that an agent finds a repository in order, and returns how many commits it sees.
fn seen(workspace: &Workspace) -> usize {
    let tree = workspace.tree();
    git(&tree, &["fsck", "--strict"]);
    assert_eq!(git(&tree, &["status", "--porcelain"]), "");
    git(&tree, &["blame", "README.md"]);
    count(&tree, "HEAD")
}

fn count(directory: &Path, revision: &str) -> usize {
    git(directory, &["rev-list", "--count", revision]).parse().unwrap()
}

/// Lets the agent commit something.
fn commit(workspace: &Workspace, path: &str) {
    write(&workspace.tree(), path, "an agent's\n");
    git(&workspace.tree(), &["add", "-A"]);
    git(&workspace.tree(), &["commit", "-qm", path]);
}

fn result(workspace: &Workspace, path: &str) -> String {
    write(&workspace.tree(), path, "the result\n");
    let tree = snapshot(workspace).unwrap().tree_id;
    commit_result(workspace, &tree, "Result", Author::default()).unwrap().unwrap()
}

fn upstream<'a>(repositories: &'a RepositoryCache, url: &'a str) -> Upstream<'a> {
    Upstream { repositories, url, branch: Some("main") }
}

#[test]
fn first_fetch_takes_the_last_commits_and_all_else_works() {
    let scene = Scene::new();
    let served = serve(&scene.fixture.remote());
    for (number, url) in [scene.fixture.url(), scene.file_url(), served].iter().enumerate() {
        let cache = scene.cache(&format!("data-{number}"), DEPTH);
        let workspace = scene.begun(&cache, url, "main");
        assert_eq!(seen(&workspace), DEPTH as usize, "{url}");
        commit(&workspace, "own");
        let result = result(&workspace, "rest");
        assert_eq!(count(&workspace.host_git(), &result), DEPTH as usize + 2);
        let (remote, branch) = (cache.remote(url).unwrap(), format!("makima/{number}"));
        push(&workspace, &remote, &result, &branch, &[]).unwrap();
        assert_eq!(count(&scene.fixture.remote(), &branch), COMMITS + 2);
        git(&scene.fixture.remote(), &["fsck"]);
    }
}

#[test]
fn depth_none_takes_the_whole_history() {
    let scene = Scene::new();
    let cache = scene.cache("data", DEPTH);
    assert_eq!(seen(&scene.begun(&cache, &scene.file_url(), "main")), DEPTH as usize);
    let whole = scene.cache("data", 0);
    assert_eq!(seen(&scene.begun(&whole, &scene.file_url(), "main")), COMMITS);
}

#[test]
fn server_that_knows_no_depth_gives_the_whole_history() {
    let scene = Scene::new();
    git(&scene.fixture.remote(), &["repack", "-adq"]);
    git(&scene.fixture.remote(), &["update-server-info"]);
    let url = serve_files(&scene.fixture.remote());
    assert_eq!(seen(&scene.begun(&scene.cache("data", DEPTH), &url, "main")), COMMITS);
}

#[test]
fn copy_with_the_whole_history_stays_whole() {
    let scene = Scene::new();
    let url = scene.file_url();
    assert_eq!(seen(&scene.begun(&scene.cache("data", 0), &url, "main")), COMMITS);
    let cache = scene.cache("data", DEPTH);
    scene.grow("main", 2 * DEPTH as usize);
    let workspace = scene.begun(&cache, &url, "main");
    // What came since is more than one fetch takes: it is not bound to the rest until somebody needs that.
    assert_eq!(seen(&workspace), DEPTH as usize);
    assert!(upstream(&cache, &url).deepen(&workspace).unwrap());
    scene.grow("main", 2);
    let workspace = scene.begun(&cache, &url, "main");
    assert_eq!(seen(&workspace), COMMITS + 2 * DEPTH as usize + 2);
    git(&scene.fixture.remote(), &["branch", "other", "main~3"]);
    scene.grow("other", 1);
    assert_eq!(seen(&scene.begun(&cache, &url, "other")), COMMITS + 2 * DEPTH as usize);
}

#[test]
fn later_fetches_find_more_and_never_hide_what_was_there() {
    let scene = Scene::new();
    let url = scene.file_url();
    let cache = scene.cache("data", DEPTH);
    let depth = DEPTH as usize;
    let first = scene.begun(&cache, &url, "main");
    scene.grow("main", 3);
    assert_eq!(seen(&scene.begun(&cache, &url, "main")), depth + 3, "new commits");
    // Its last commits reach to where those of the other branch are known for longer.
    git(&scene.fixture.remote(), &["branch", "near", "main~1"]);
    scene.grow("near", 3);
    assert_eq!(seen(&scene.begun(&cache, &url, "near")), depth + 3 - 1 + 3, "a branch that begins near");
    git(&scene.fixture.remote(), &["branch", "far", "main~20"]);
    scene.grow("far", 2);
    assert_eq!(seen(&scene.begun(&cache, &url, "far")), depth, "a branch that begins far back");
    let main = scene.rev("main~10");
    scene.import("main", Some(&main), 2);
    assert_eq!(seen(&scene.begun(&cache, &url, "main")), depth, "a force push");
    scene.import("main", None, 2);
    let anew = cache.fetch(&url, Some("main"), &Cancel::default()).unwrap();
    assert_eq!(count(&anew.git_dir, &anew.base_commit), 2, "another history");
    assert_eq!(seen(&first), depth);
    git(&anew.git_dir, &["rev-list", "--quiet", "--objects", "--all"]);
}

#[test]
fn side_branch_that_was_merged_brings_no_old_history_along() {
    let scene = Scene::new();
    let url = scene.file_url();
    let cache = scene.cache("data", DEPTH);
    scene.begun(&cache, &url, "main");
    let remote = scene.fixture.remote();
    git(&remote, &["branch", "side", "main~30"]);
    scene.grow("side", 1);
    let merged = git(&remote, &["commit-tree", "main^{tree}", "-p", "main", "-p", "side", "-m", "merged"]);
    git(&remote, &["update-ref", "refs/heads/main", &merged]);
    let workspace = scene.begun(&cache, &url, "main");
    let seen = seen(&workspace);
    assert!(seen > DEPTH as usize && seen < 3 * DEPTH as usize, "{seen}");
}

#[test]
fn commit_that_lies_deeper_is_found_by_its_id_or_with_the_whole_branch() {
    let scene = Scene::new();
    let (deep, unknown) = (scene.rev("main~30"), "1234567890123456789012345678901234567890");
    // The second server gives out nothing but branches.
    let urls = [(scene.file_url(), DEPTH as usize), (serve(&scene.fixture.remote()), COMMITS - 30)];
    for (number, (url, sees)) in urls.iter().enumerate() {
        let cache = scene.cache(&format!("data-{number}"), DEPTH);
        scene.begun(&cache, url, "main");
        assert!(cache.copy_with(url, &deep).is_none());
        let git_dir = cache.fetch_commit(url, Some("main"), &deep, &Cancel::default()).unwrap();
        assert_eq!(seen(&scene.workspace(&git_dir, &deep, url)), *sees, "{url}");
        let error = cache.fetch_commit(url, Some("main"), unknown, &Cancel::default()).unwrap_err();
        assert_eq!(error.code(), "BASE_LOST");
        scene.begun(&cache, url, "main");
    }
}

#[test]
fn remote_that_is_down_is_no_lost_commit() {
    let scene = Scene::new();
    let deep = scene.rev("main~30");
    // Asked for its branch, and fetched from; then asked for its branch, and for the commit.
    let url = serve_times(&scene.fixture.remote(), 4);
    let cache = scene.cache("data", DEPTH);
    let workspace = scene.begun(&cache, &url, "main");
    let error = cache.fetch_commit(&url, Some("main"), &deep, &Cancel::default()).unwrap_err();
    assert!(matches!(error, RepositoryError::Unreachable { .. }), "{error}");
    let error = upstream(&cache, &url).deepen(&workspace).unwrap_err();
    assert!(matches!(error, RepositoryError::Unreachable { .. }), "{error}");
    assert!(cache.copy_with(&url, &workspace.base_commit()).is_some());
    assert_eq!(seen(&workspace), DEPTH as usize);
}

#[test]
fn fetch_that_was_killed_leaves_no_history_with_holes() {
    let scene = Scene::new();
    let url = scene.file_url();
    let cache = scene.cache("data", DEPTH);
    let fetched = cache.fetch(&url, Some("main"), &Cancel::default()).unwrap();
    let tip = &fetched.base_commit;
    let at = |name: &str| fetched.git_dir.join(name);
    // As it is when the objects are there, and git has not said yet where they end.
    fs::rename(at("shallow"), at("shallow.lock")).unwrap();
    fs::remove_dir_all(at("refs/makima")).unwrap();
    fs::write(at("fetching"), "").unwrap();
    assert!(cache.copy_with(&url, tip).is_none());
    git(&scene.fixture.remote(), &["branch", "other", "main~30"]);
    cache.fetch(&url, Some("other"), &Cancel::default()).unwrap();
    assert!(cache.copy_with(&url, tip).is_some());
    assert_eq!(seen(&scene.workspace(&fetched.git_dir, tip, &url)), DEPTH as usize);
    assert!(!at("fetching").exists() && !at("shallow.lock").exists());
    git(&fetched.git_dir, &["rev-list", "--quiet", "--objects", "--all"]);
}

#[test]
fn checkpoint_moves_between_copies_of_any_depths() {
    let scene = Scene::new();
    let url = scene.file_url();
    let depths = [0, 2, DEPTH, 20];
    for from in depths {
        let source = scene.begun(&scene.cache(&format!("data-{from}"), from), &url, "main");
        commit(&source, "own");
        write(&source.tree(), "README.md", "not committed\n");
        let (patch, bundle) = (checkpoint(&source), bundle(&source).unwrap());
        for to in depths {
            let target = scene.begun(&scene.cache(&format!("data-{to}"), to), &url, "main");
            restore_patch(&target, &patch).unwrap();
            restore_bundle(&target, &bundle).unwrap();
            assert_eq!(git(&target.tree(), &["log", "-1", "--format=%s"]), "own");
            assert_eq!(git(&target.tree(), &["status", "--porcelain"]), " M README.md");
            git(&target.tree(), &["fsck", "--strict"]);
        }
    }
}

#[test]
fn commits_on_old_ones_are_restored_once_the_history_is_there() {
    let scene = Scene::new();
    let url = scene.file_url();
    let source = scene.begun(&scene.cache("whole", 0), &url, "main");
    git(&source.tree(), &["checkout", "-qb", "old", "HEAD~30"]);
    commit(&source, "on an old one");
    git(&source.tree(), &["checkout", "-q", "main"]);
    let bundle = bundle(&source).unwrap();
    let cache = scene.cache("shallow", DEPTH);
    let target = scene.begun(&cache, &url, "main");
    assert!(!restore_bundle(&target, &bundle).unwrap_err().is_permanent());
    let refs = serde_json::to_value(&bundle.refs).unwrap();
    let saved = SavedCommits { pack: &bundle.pack, refs: &refs, sha256: &bundle.sha256 };
    assert!(upstream(&cache, &url).restore_commits(&target, &saved).unwrap().is_none());
    assert_eq!(git(&target.tree(), &["merge-base", "main", "old"]), scene.rev("main~30"));
    assert_eq!(seen(&target), COMMITS);
    assert!(!upstream(&cache, &url).deepen(&target).unwrap());
}

#[test]
fn merge_finds_where_the_work_began_however_far_the_base_branch_went_on() {
    let scene = Scene::new();
    let url = scene.file_url();
    let cache = scene.cache("data", DEPTH);
    let workspace = scene.begun(&cache, &url, "main");
    let work = result(&workspace, "new");
    let request = |onto| MergeRequest {
        result: &work,
        onto,
        known: &[],
        strategy: MergeStrategy::Merge,
        message: "Merge it",
        author: Author::default(),
    };
    scene.grow("main", 2);
    let near = cache.fetch(&url, Some("main"), &Cancel::default()).unwrap().base_commit;
    let Merged::Made(_) = upstream(&cache, &url).merge(&workspace, &request(&near)).unwrap() else {
        panic!()
    };
    assert!(count(&workspace.host_git(), &near) < COMMITS, "no need of more");
    scene.grow("main", 20);
    let far = cache.fetch(&url, Some("main"), &Cancel::default()).unwrap().base_commit;
    let Merged::Made(commit) = upstream(&cache, &url).merge(&workspace, &request(&far)).unwrap() else {
        panic!()
    };
    push_merge(&workspace, &cache.remote(&url).unwrap(), &commit, "main", &far).unwrap();
    assert_eq!(git(&scene.fixture.remote(), &["diff", "--name-only", "main~", "main"]), "new");
    git(&scene.fixture.remote(), &["fsck"]);
}

#[test]
fn work_that_came_into_the_base_branch_long_ago_is_not_merged_twice() {
    let scene = Scene::new();
    let url = scene.file_url();
    let cache = scene.cache("data", DEPTH);
    let workspace = scene.begun(&cache, &url, "main");
    let (work, base) = (result(&workspace, "new"), workspace.base_commit());
    push_merge(&workspace, &cache.remote(&url).unwrap(), &work, "main", &base).unwrap();
    scene.grow("main", 20);
    let onto = cache.fetch(&url, Some("main"), &Cancel::default()).unwrap().base_commit;
    let known = [work.clone()];
    let request = MergeRequest {
        result: &work,
        onto: &onto,
        known: &known,
        strategy: MergeStrategy::Squash,
        message: "Squash it",
        author: Author::default(),
    };
    let merged = upstream(&cache, &url).merge(&workspace, &request).unwrap();
    assert_eq!(merged, Merged::AlreadyIn(work.clone()));
}

#[test]
fn result_on_a_history_that_the_remote_dropped_is_pushed_all_the_same() {
    let scene = Scene::new();
    let url = scene.file_url();
    let cache = scene.cache("data", DEPTH);
    let workspace = scene.begun(&cache, &url, "main");
    let work = result(&workspace, "new");
    let target = scene.at("other.git");
    git(scene.fixture.dir.path(), &["init", "-q", "--bare", "other.git"]);
    // Nothing of the history is there.
    let remote = cache.remote(target.to_str().unwrap()).unwrap();
    let pushing = || push(&workspace, &remote, &work, "makima/x", &[]);
    assert!(matches!(pushing().unwrap_err(), PushError::Rejected { .. }));
    upstream(&cache, &url).push(&workspace, pushing).unwrap();
    assert_eq!(count(&target, "makima/x"), COMMITS + 1);
}

#[test]
fn workspace_that_stood_ready_is_moved_to_another_base() {
    let scene = Scene::new();
    let url = scene.file_url();
    let cache = scene.cache("data", DEPTH);
    let spare = scene.begun(&cache, &url, "main");
    let had_commit = spare.base_commit();
    git(&scene.fixture.remote(), &["branch", "far", "main~20"]);
    let fetched = cache.fetch(&url, Some("far"), &Cancel::default()).unwrap();
    let base = |commit| Base {
        cache_git_dir: &fetched.git_dir,
        commit,
        branch_name: Some("main"),
        url: Some(url.as_str()),
    };
    let (had, base) = (base(had_commit.as_str()), base(fetched.base_commit.as_str()));
    let taken =
        Workspace::take_over(spare, &had, &scene.at("tasks/taken"), &base, &Cancel::default()).unwrap();
    assert_eq!(seen(&taken), DEPTH as usize);
}

#[test]
fn old_workspace_is_taken_up_unless_its_copy_has_less_than_it_saw() {
    let scene = Scene::new();
    let url = scene.file_url();
    let cache = scene.cache("data", 20);
    let taken_up = |old: &Workspace, cache: &RepositoryCache, to: &str| {
        let base = old.base_commit();
        let copy = cache.copy_with(&url, &base).unwrap();
        Workspace::take_up(old.root(), &scene.at(to), &copy, &base, &Cancel::default())
    };
    let old = scene.begun(&cache, &url, "main");
    old.note_whole().unwrap();
    let old = taken_up(&old, &cache, "tasks/first").unwrap();
    git(&scene.fixture.remote(), &["branch", "far", "main~30"]);
    scene.begun(&cache, &url, "far");
    let old = taken_up(&old, &cache, "tasks/second").unwrap();
    assert_eq!(seen(&old), 20);
    fs::remove_dir_all(scene.at("data/cache")).unwrap();
    let less = scene.cache("data", DEPTH);
    scene.begun(&less, &url, "main");
    taken_up(&old, &less, "tasks/third").unwrap_err();
}

#[test]
fn repository_of_this_machine_that_is_itself_cut_short_is_taken() {
    let scene = Scene::new();
    let shallow = scene.at("shallow.git");
    let depth = format!("--depth={}", DEPTH + 2);
    git(scene.fixture.dir.path(), &["clone", "-q", "--bare", &depth, &scene.file_url(), "shallow.git"]);
    let cache = scene.cache("data", DEPTH);
    let url = shallow.to_str().unwrap();
    let workspace = scene.begun(&cache, url, "main");
    assert_eq!(seen(&workspace), DEPTH as usize);
    assert!(upstream(&cache, url).deepen(&workspace).unwrap());
    assert!(!upstream(&cache, url).deepen(&workspace).unwrap(), "there is no more");
    assert_eq!(count(&workspace.host_git(), &workspace.base_commit()), DEPTH as usize + 2);
}

#[test]
fn fetches_at_once_by_several_workers_at_several_depths_agree() {
    let scene = Scene::new();
    let remote = scene.fixture.remote();
    let branches: Vec<_> = (0..6).map(|number| format!("branch-{number}")).collect();
    for (number, branch) in branches.iter().enumerate() {
        git(&remote, &["branch", branch, &format!("main~{}", 5 * number)]);
        scene.grow(branch, number);
    }
    let (url, deep) = (scene.file_url(), scene.rev("main~35"));
    let caches = [scene.cache("data", DEPTH), scene.cache("data", 2), scene.cache("data", 12)];
    let begun: Vec<_> = std::thread::scope(|scope| {
        let mut fetching = Vec::new();
        for (cache, branch) in caches.iter().flat_map(|cache| branches.iter().map(move |to| (cache, to))) {
            let url = &url;
            let fetch = move || {
                let fetched = cache.fetch(url, Some(branch), &Cancel::default()).unwrap();
                (fetched.git_dir, fetched.base_commit)
            };
            fetching.push(scope.spawn(fetch));
        }
        for cache in &caches {
            let (url, deep) = (&url, &deep);
            let pinned = move || {
                let git_dir = cache.fetch_commit(url, Some("main"), deep, &Cancel::default()).unwrap();
                (git_dir, deep.clone())
            };
            fetching.push(scope.spawn(pinned));
        }
        fetching.into_iter().map(|fetching| fetching.join().unwrap()).collect()
    });
    for (git_dir, commit) in begun {
        assert!(seen(&scene.workspace(&git_dir, &commit, &url)) >= 2);
    }
}
