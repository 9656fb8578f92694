//! Makes the two git directories of a workspace, file by file: no templates, no hooks, no process.

use std::fs;
use std::io::{Error, Result};
use std::path::Path;
use std::time::Duration;

use super::Base;
use super::agent_refs::{AgentRefs, Head};
use crate::git::{forget_common_dir, without_credentials};

const PACKED_REFS: &str = "packed-refs";

const HOST_CONFIG: &str = "[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tsymlinks = true
\tignorecase = false
\tprecomposeunicode = false
\tautocrlf = false
\tsafecrlf = false
\tfsmonitor = false
\tlogallrefupdates = false
\thookspath = /dev/null
\tattributesfile = /dev/null
\texcludesfile = /dev/null
\tloosecompression = 1
[gc]
\tauto = 0
";

/// Switches every conversion off, and every way of showing a file's changes but the plain one.
const BYTES_AS_THEY_ARE: &str =
    "* -text !crlf !eol !ident !filter !working-tree-encoding !diff !merge !whitespace\n";

/// Makes the agent's git directory: on the base's branch at the base, with an author to commit as and a remote to look at.
pub(super) fn create_for_agent(git_dir: &Path, objects: &Path, base: &Base<'_>) -> Result<AgentRefs> {
    let branch =
        base.branch_name.filter(|name| git2::Reference::is_valid_name(&format!("refs/heads/{name}")));
    let refs = AgentRefs::of_base(branch, base.commit);
    create(git_dir, objects, &head_of(&refs), &agent_config(branch, base.url))?;
    let remote = branch.map(|name| format!("{} refs/remotes/origin/{name}", base.commit));
    fs::write(git_dir.join(PACKED_REFS), packed_references(&refs, remote.as_slice()))?;
    Ok(refs)
}

/// Gives an agent's git directory, in which nobody but us has written yet, other refs than it was made with.
pub(super) fn replace_refs(git_dir: &Path, refs: &AgentRefs) -> Result<()> {
    let packed = fs::read_to_string(git_dir.join(PACKED_REFS))?;
    let remote = packed.lines().filter(|line| line.contains(" refs/remotes/")).map(str::to_owned);
    let files =
        [(PACKED_REFS, packed_references(refs, &remote.collect::<Vec<_>>())), ("HEAD", head_of(refs))];
    let new = |name| git_dir.join(format!("{name}.new"));
    for (name, content) in &files {
        fs::write(new(name), content)?;
    }
    // Both are on the disk: what is left cannot fail halfway for want of room.
    files.iter().try_for_each(|(name, _)| fs::rename(new(name), git_dir.join(name)))
}

fn head_of(refs: &AgentRefs) -> String {
    match &refs.head {
        Head::Branch(name) => format!("ref: refs/heads/{name}\n"),
        Head::Commit(id) => format!("{id}\n"),
    }
}

/// Writes the branches, and the lines of `remote`, as a file of packed refs: in the order of their names.
fn packed_references(refs: &AgentRefs, remote: &[String]) -> String {
    let branches = refs.branches.iter().map(|(name, id)| format!("{id} refs/heads/{name}"));
    let mut lines: Vec<_> = branches.chain(remote.iter().cloned()).collect();
    lines.sort_unstable_by(|a, b| {
        a.split_once(' ').map(|line| line.1).cmp(&b.split_once(' ').map(|line| line.1))
    });
    lines.insert(0, "# pack-refs with: peeled fully-peeled sorted ".to_owned());
    lines.join("\n") + "\n"
}

/// Makes the worker's git directory.
pub(super) fn create_for_host(git_dir: &Path, objects: &Path) -> Result<()> {
    create(git_dir, objects, "ref: refs/makima/none\n", HOST_CONFIG)
}

/// Copies the index of a fresh checkout so that it is later than every file, by the clock of the file system. A file as new
/// as its index would be read again, byte for byte, and one that was converted would look changed.
pub(super) fn copy_index(fresh: &Path, own: &Path) -> Result<()> {
    let checked_out = fs::metadata(fresh)?.modified()?;
    loop {
        fs::copy(fresh, own)?;
        if fs::metadata(own)?.modified()? > checked_out {
            return Ok(());
        }
        // The clock ticks every 1 to 10 ms.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Makes the worker's git directory store and restore files byte for byte from here on.
pub(super) fn store_bytes_as_they_are(git_dir: &Path) -> Result<()> {
    fs::create_dir_all(git_dir.join("info"))?;
    fs::write(git_dir.join("info/attributes"), BYTES_AS_THEY_ARE)
}

/// Makes the worker's git directory convert files as their attributes ask.
pub(super) fn convert_as_attributes_ask(git_dir: &Path) -> Result<()> {
    fs::remove_file(git_dir.join("info/attributes"))
}

/// Puts the worker's configuration back if anybody changed it, or had it read from elsewhere.
pub(super) fn reset_host_config(git_dir: &Path) -> Result<()> {
    forget_common_dir(git_dir)?;
    let file = git_dir.join("config");
    if fs::read(&file).is_ok_and(|content| content == HOST_CONFIG.as_bytes()) {
        return Ok(());
    }
    fs::write(file, HOST_CONFIG)
}

/// Brings the git directory of a worker that was killed back into order: locks that nobody holds any more go, and it must
/// borrow from `objects` and nothing else.
pub(super) fn mend_host(git_dir: &Path, objects: &Path) -> Result<()> {
    let borrowed = fs::read(git_dir.join("objects/info/alternates"))?;
    if borrowed != alternates(objects) {
        return Err(Error::other("the workspace borrows from another copy"));
    }
    for entry in fs::read_dir(git_dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            fs::remove_file(path)?;
        }
    }
    store_bytes_as_they_are(git_dir)
}

fn alternates(objects: &Path) -> Vec<u8> {
    let mut line = objects.as_os_str().as_encoded_bytes().to_vec();
    line.push(b'\n');
    line
}

fn create(git_dir: &Path, objects: &Path, head: &str, config: &str) -> Result<()> {
    for directory in ["objects/info", "objects/pack", "refs/heads"] {
        fs::create_dir_all(git_dir.join(directory))?;
    }
    fs::write(git_dir.join("objects/info/alternates"), alternates(objects))?;
    fs::write(git_dir.join("config"), config)?;
    fs::write(git_dir.join("HEAD"), head)
}

fn agent_config(branch: Option<&str>, url: Option<&str>) -> String {
    let mut config = String::from(
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\
         [user]\n\tname = makima\n\temail = makima@localhost\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n",
    );
    let Some(url) = url.map(without_credentials).filter(|url| !url.contains(char::is_control)) else {
        return config;
    };
    config += &format!(
        "[remote \"origin\"]\n\turl = {}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n",
        quoted(&url)
    );
    if let Some(name) = branch {
        config += &format!(
            "[branch {}]\n\tremote = origin\n\tmerge = {}\n",
            quoted(name),
            quoted(&format!("refs/heads/{name}"))
        );
    }
    config
}

/// Quotes a value as git's configuration wants it.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
