//! The worker's copies of repositories.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use makima_worker::git::Cancel;
use makima_worker::repository::{RepositoryCache, RepositoryError};

use crate::fixture::{Fixture, git, write};

#[test]
fn branch_none_means_the_head_of_the_remote() {
    let fixture = Fixture::new();
    let fetched = fixture.fetched();
    assert_eq!(fetched.branch_name.as_deref(), Some("main"));
    assert_eq!(fetched.base_commit, git(&fixture.remote(), &["rev-parse", "main"]));
}

#[test]
fn the_default_branch_is_known_where_a_commit_was_fetched_before() {
    let fixture = Fixture::new();
    let default = |cache: &RepositoryCache| cache.default_branch(&fixture.url(), &Cancel::default()).unwrap();
    let commit = fixture.fetched().base_commit;
    git(&fixture.remote(), &["update-ref", "--no-deref", "HEAD", &commit]);
    assert_eq!(default(&fixture.cache).as_deref(), Some("main"), "as it was when the work began");
    let afresh = RepositoryCache::new(fixture.dir.path().join("other-machine"));
    afresh.fetch_commit(&fixture.url(), None, &commit, &Cancel::default()).unwrap();
    assert_eq!(default(&afresh), None, "the remote's HEAD is detached now");
}

#[test]
fn copies_are_closed_to_others() {
    let fixture = Fixture::new();
    let cache = fixture.dir.path().join("data/cache");
    fs::create_dir_all(&cache).unwrap();
    fixture.fetched();
    assert_eq!(cache.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn fetch_follows_the_remote_even_where_it_was_rewritten() {
    let fixture = Fixture::new();
    let first = fixture.fetched();
    let source = fixture.dir.path().join("source");
    write(&source, "more", "x");
    git(&source, &["add", "-A"]);
    git(&source, &["commit", "-q", "--amend", "-m", "rewritten"]);
    git(&source, &["push", "-qf", "../remote.git", "main"]);
    let second = fixture.cache.fetch(&fixture.url(), Some("main"), &Cancel::default()).unwrap();
    assert_ne!(first.base_commit, second.base_commit);
    assert!(fixture.cache.copy_with(&fixture.url(), &first.base_commit).is_some());
    assert!(fixture.cache.copy_with(&fixture.url(), &second.base_commit).is_some());
}

#[test]
fn branches_that_collide_over_time_live_side_by_side() {
    let fixture = Fixture::new();
    git(&fixture.remote(), &["branch", "a"]);
    fixture.cache.fetch(&fixture.url(), Some("a"), &Cancel::default()).unwrap();
    git(&fixture.remote(), &["branch", "-m", "a", "a/b"]);
    let fetched = fixture.cache.fetch(&fixture.url(), Some("a/b"), &Cancel::default()).unwrap();
    assert_eq!(fetched.branch_name.as_deref(), Some("a/b"));
}

#[test]
fn detached_head_has_no_branch() {
    let fixture = Fixture::new();
    let commit = git(&fixture.remote(), &["rev-parse", "main"]);
    fs::write(fixture.remote().join("HEAD"), format!("{commit}\n")).unwrap();
    let fetched = fixture.fetched();
    assert_eq!((fetched.branch_name, fetched.base_commit), (None, commit));
}

#[test]
fn dangling_head_means_the_only_branch() {
    let fixture = Fixture::new();
    fs::write(fixture.remote().join("HEAD"), "ref: refs/heads/master\n").unwrap();
    assert_eq!(fixture.fetched().branch_name.as_deref(), Some("main"));
}

#[test]
fn errors_have_codes_of_their_own() {
    let fixture = Fixture::new();
    let code = |url: &str, branch| {
        let error: RepositoryError = fixture.cache.fetch(url, branch, &Cancel::default()).unwrap_err();
        (error.code(), error.is_permanent())
    };
    assert_eq!(code("/no/such/repository", None), ("REPOSITORY_NOT_FOUND", true));
    assert_eq!(code("file:///no/such/repository", Some("main")), ("REPOSITORY_NOT_FOUND", true));
    assert_eq!(code(&fixture.url(), Some("nope")), ("BRANCH_NOT_FOUND", true));
    assert_eq!(code("http://127.0.0.1:1/x.git", None), ("REPOSITORY_UNREACHABLE", false));
    let empty = fixture.dir.path().join("empty.git");
    git(fixture.dir.path(), &["init", "-q", "--bare", "empty.git"]);
    assert_eq!(code(empty.to_str().unwrap(), None), ("REPOSITORY_EMPTY", true));
    assert_eq!(code(empty.to_str().unwrap(), Some("main")), ("REPOSITORY_EMPTY", true));
}

#[test]
fn hostile_urls_and_branches_run_nothing() {
    let fixture = Fixture::new();
    let marker = fixture.dir.path().join("marker");
    let touch = format!("touch {}", marker.display());
    let urls = [
        format!("ext::sh -c '{touch}'"),
        format!("--upload-pack={touch}"),
        format!("-u{touch}"),
        "\n".into(),
    ];
    for url in urls {
        fixture.cache.fetch(&url, None, &Cancel::default()).unwrap_err();
        fixture.cache.fetch(&url, Some("main"), &Cancel::default()).unwrap_err();
    }
    for branch in ["-x", "--upload-pack=touch", "a..b", "*", ""] {
        fixture.cache.fetch(&fixture.url(), Some(branch), &Cancel::default()).unwrap_err();
    }
    assert!(!marker.exists());
}

#[test]
fn configuration_written_into_a_copy_has_no_effect() {
    let fixture = Fixture::new();
    let fetched = fixture.fetched();
    let marker = fixture.dir.path().join("marker");
    let hostile = format!(
        "[core]\n\tbare = true\n\tsshCommand = touch {0}\n\tfsmonitor = touch {0}\n",
        marker.display()
    );
    fs::write(fetched.git_dir.join("config"), &hostile).unwrap();
    // And where the copy would be led to another directory.
    write(&fixture.dir.path().join("elsewhere"), "config", hostile);
    fs::write(fetched.git_dir.join("commondir"), fixture.dir.path().join("elsewhere").to_str().unwrap())
        .unwrap();
    write(
        &fetched.git_dir,
        "hooks/reference-transaction",
        format!("#!/bin/sh\ntouch {}\n", marker.display()),
    );
    git(&fixture.remote(), &["branch", "other"]);
    fixture.cache.fetch(&fixture.url(), Some("other"), &Cancel::default()).unwrap();
    let _ = fixture.cache.fetch("ssh://127.0.0.1:1/x", None, &Cancel::default());
    assert!(!marker.exists());
}

#[test]
fn pinned_commit_is_found_after_its_branch_was_rewritten() {
    let fixture = Fixture::new();
    let old = fixture.fetched().base_commit;
    let source = fixture.dir.path().join("source");
    git(&source, &["commit", "-q", "--amend", "-m", "rewritten"]);
    git(&source, &["push", "-qf", "../remote.git", "main"]);
    let elsewhere = RepositoryCache::new(fixture.dir.path().join("other-machine"));
    git(&fixture.remote(), &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let git_dir = elsewhere.fetch_commit(&fixture.url(), Some("main"), &old, &Cancel::default()).unwrap();
    assert!(elsewhere.copy_with(&fixture.url(), &old).is_some());
    assert!(git_dir.starts_with(fixture.dir.path()));
    let unknown = "1234567890123456789012345678901234567890";
    let error =
        elsewhere.fetch_commit(&fixture.url(), Some("main"), unknown, &Cancel::default()).unwrap_err();
    assert_eq!((error.code(), error.is_permanent()), ("BASE_LOST", true));
}

#[test]
fn callers_that_wait_together_agree() {
    let fixture = Fixture::new();
    let (cache, url) = (&fixture.cache, fixture.url());
    let tips: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| cache.fetch(&url, None, &Cancel::default()).unwrap())).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(tips.iter().all(|tip| *tip == tips[0]));
}
