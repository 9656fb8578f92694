//! The repository that the demo works on: a small shop with a few dozen files and some history.

use std::fmt::Write;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::git::Git;
use super::stage::Stage;

const SERVER_PARTS: [&str; 10] =
    ["accept", "auth", "cache", "legacy", "limits", "orders", "queue", "session", "store", "wire"];
const WEB_PARTS: [&str; 7] = ["app", "cart", "list", "old", "search", "session", "theme"];
const PAGES: [&str; 6] = ["api", "deploy", "history", "operations", "style", "testing"];

/// What was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    /// Files in the last commit.
    pub(crate) files: usize,
    /// Commits.
    pub(crate) commits: usize,
}

/// Makes the content in several commits, and the bare repository that the tasks clone from and push to.
pub(crate) async fn make(stage: &Stage) -> anyhow::Result<Made> {
    let checkout = stage.checkout();
    fs::create_dir(&checkout)?;
    let git = Git::new(&checkout, &stage.home());
    git.bytes(&["init", "-q"]).await?;
    git.bytes(&["symbolic-ref", "HEAD", "refs/heads/main"]).await?;
    type Chapter = fn(&Path) -> anyhow::Result<()>;
    let chapters: [(&str, Chapter); 4] = [
        ("Begin a shop", begin),
        ("Add the server", add_server),
        ("Add the pages", add_pages),
        ("Add documentation and tests", add_documentation),
    ];
    for (message, write) in chapters {
        write(&checkout)?;
        git.bytes(&["add", "--all"]).await?;
        git.bytes(&["commit", "-q", "-m", message]).await?;
    }
    let origin = stage.origin().display().to_string();
    git.bytes(&["clone", "-q", "--bare", ".", &origin]).await?;
    let files = git.text(&["ls-files"]).await?.lines().count();
    Ok(Made { files, commits: chapters.len() })
}

fn begin(root: &Path) -> anyhow::Result<()> {
    put(root, "README.md", "# Shop\n\nA small shop, to be rebuilt by several agents at once.\n")?;
    put(root, "LICENSE", "Do with it what you like.\n")?;
    put(root, ".gitignore", "target/\n*.tmp\n")?;
    put(root, "Makefile", "build:\n\tscripts/build.sh\n")?;
    put(root, "config/server.toml", "listen = \"127.0.0.1:8080\"\nworkers = 2\ntimeout_ms = 5000\n")?;
    put(root, "scripts/build.sh", "#!/bin/sh\nset -eu\necho built\n")?;
    fs::set_permissions(root.join("scripts/build.sh"), Permissions::from_mode(0o755))?;
    let logo: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    put(root, "assets/logo.bin", &logo)
}

fn add_server(root: &Path) -> anyhow::Result<()> {
    let mut list = String::new();
    for part in SERVER_PARTS {
        writeln!(list, "mod {part};")?;
        let source = format!(
            "//! The {part} of the server.\n\n/// Counts what the {part} has done.\npub struct Counter(u64);\n\n\
             impl Counter {{\n    pub fn add(&mut self) {{\n        self.0 += 1;\n    }}\n}}\n"
        );
        put(root, &format!("src/server/{part}.rs"), &source)?;
    }
    put(root, "src/main.rs", format!("{list}\nfn main() {{}}\n"))
}

fn add_pages(root: &Path) -> anyhow::Result<()> {
    for part in WEB_PARTS {
        let source =
            format!("// The {part} of the pages.\nexport function {part}() {{\n  return \"{part}\";\n}}\n");
        put(root, &format!("web/{part}.js"), &source)?;
    }
    put(root, "web/index.html", "<!doctype html>\n<title>Shop</title>\n<script src=\"app.js\"></script>\n")
}

fn add_documentation(root: &Path) -> anyhow::Result<()> {
    for page in PAGES {
        let text =
            format!("# About {page}\n\nWhat there is to say about {page}.\n\n- one thing\n- another thing\n");
        put(root, &format!("docs/{page}.md"), &text)?;
    }
    for part in SERVER_PARTS.iter().take(5) {
        put(root, &format!("tests/{part}.rs"), format!("#[test]\nfn {part}_works() {{}}\n"))?;
    }
    symlink("../README.md", root.join("docs/README.md"))?;
    Ok(())
}

fn put(root: &Path, path: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let path = root.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_repository_has_history_and_files_of_every_kind() {
        let stage = Stage::make().unwrap();
        let made = make(&stage).await.unwrap();
        assert!(made.files > 30 && made.commits > 3, "{made:?}");
        let git = Git::new(&stage.origin(), &stage.home());
        let tree = git.text(&["ls-tree", "-r", "main"]).await.unwrap();
        for mode in ["100644", "100755", "120000"] {
            assert!(tree.lines().any(|line| line.starts_with(mode)), "{mode}");
        }
        assert!(stage.remove().await);
    }
}
