//! The agent's conversation: read out of its home for a checkpoint, and put back there for an attempt that goes on.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use makima_shared::domain::{AgentClient, MessageId, SavedConversation, TokenUsage};
use sha2::{Digest as _, Sha256};

use super::{Adapter, ConversationPlace};
use crate::secrets::Secrets;
use crate::workspace::agent_home::{self, HomeFile};

/// The largest conversation that is saved: as the client wrote it, and compressed.
const MAX_BYTES: u64 = 64 << 20;
const MAX_GZIP_BYTES: usize = 10 << 20;

/// A conversation that lies in its place for the agent to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resumable {
    /// What the client calls it.
    pub(crate) session: String,
    /// What it has used so far, where the client counts on from there.
    pub(crate) used: TokenUsage,
}

/// Why a conversation cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConversationError {
    /// It is not what was saved.
    #[error("it is damaged")]
    Damaged,
    /// It cannot be written.
    #[error("it cannot be put in its place")]
    Write(#[from] std::io::Error),
}

/// Reads the newest conversation in the home, without the secrets that were said in it; none if there is none, or if it is
/// too large. Blocks.
pub(crate) fn read(
    adapter: &dyn Adapter,
    client: AgentClient,
    home: &Path,
    secrets: &Secrets,
) -> Option<SavedConversation> {
    let place = adapter.conversation()?;
    let HomeFile { path, content } = find(&place, home)?;
    let session = session(&place, &path)?;
    let content = secrets.scrub_bytes(&content);
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&content).ok()?;
    let content_gzip = packer.finish().ok().filter(|gzip| gzip.len() <= MAX_GZIP_BYTES)?;
    Some(SavedConversation {
        client,
        session,
        path,
        unpacked_bytes: i64::try_from(content.len()).ok()?,
        sha256: Sha256::digest(&content_gzip).to_vec(),
        content_gzip,
    })
}

/// Puts a saved conversation where the client looks for it, for this workspace. Blocks.
pub(crate) fn restore(
    adapter: &dyn Adapter,
    saved: &SavedConversation,
    home: &Path,
    tree: &Path,
) -> Result<Option<Resumable>, ConversationError> {
    let Some(place) = adapter.conversation() else { return Ok(None) };
    if Sha256::digest(&saved.content_gzip).to_vec() != saved.sha256 {
        return Err(ConversationError::Damaged);
    }
    let mut content = Vec::new();
    let unpacking = GzDecoder::new(saved.content_gzip.as_slice()).take(MAX_BYTES + 1);
    let size = { unpacking }.read_to_end(&mut content).map_err(|_bad| ConversationError::Damaged)?;
    if size as u64 > MAX_BYTES {
        return Err(ConversationError::Damaged);
    }
    put(adapter, &place, &HomeFile { path: saved.path.clone(), content }, home, tree).map(Some)
}

/// Brings the conversation that an earlier attempt left in this home to where the client looks for it now; none if there is
/// none. Blocks.
pub(crate) fn take_up(
    adapter: &dyn Adapter,
    home: &Path,
    tree: &Path,
) -> Result<Option<Resumable>, ConversationError> {
    let Some(place) = adapter.conversation() else { return Ok(None) };
    let Some(found) = find(&place, home) else { return Ok(None) };
    put(adapter, &place, &found, home, tree).map(Some)
}

/// Names the messages that the newest conversation in the home has. Blocks.
pub(crate) fn messages(adapter: &dyn Adapter, home: &Path) -> HashSet<MessageId> {
    let found = adapter.conversation().and_then(|place| find(&place, home));
    found.map(|file| adapter.messages_in(&file.content)).unwrap_or_default()
}

fn find(place: &ConversationPlace, home: &Path) -> Option<HomeFile> {
    let is_one = |name: &str| (place.session_of)(name).is_some();
    agent_home::newest_file(home, place.directory, place.depth, is_one, MAX_BYTES)
}

fn put(
    adapter: &dyn Adapter,
    place: &ConversationPlace,
    file: &HomeFile,
    home: &Path,
    tree: &Path,
) -> Result<Resumable, ConversationError> {
    let path = (place.path_for)(&file.path, tree);
    let session = session(place, &path).ok_or(ConversationError::Damaged)?;
    if let Some(index) = &place.index {
        agent_home::remove_files(home, index.directory, index.is_one)?;
    }
    agent_home::write_file(home, place.directory, &path, &file.content)?;
    Ok(Resumable { session, used: adapter.used_in(&file.content) })
}

fn session(place: &ConversationPlace, path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    (place.session_of)(name).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use makima_shared::domain::SecretValue;

    use super::*;
    use crate::agent::claude::Claude;
    use crate::agent::codex::Codex;
    use crate::secrets::Secret;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn a_conversation_moves_to_another_workspace() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lines = b"{\"type\":\"user\"}\n";
        agent_home::write_file(old.path(), ".claude/projects", &format!("-old/{ID}.jsonl"), lines).unwrap();
        let saved = read(&Claude, AgentClient::Claude, old.path(), &Secrets::default()).unwrap();
        assert_eq!((saved.session.as_str(), saved.unpacked_bytes), (ID, 16));
        let resumed = restore(&Claude, &saved, new.path(), Path::new("/new/tree")).unwrap().unwrap();
        assert_eq!(resumed.session, ID);
        let file = new.path().join(format!(".claude/projects/-new-tree/{ID}.jsonl"));
        assert_eq!(std::fs::read(file).unwrap(), lines);

        let bad = SavedConversation { sha256: vec![0; 32], ..saved.clone() };
        assert!(matches!(
            restore(&Claude, &bad, new.path(), Path::new("/x")),
            Err(ConversationError::Damaged)
        ));
        let out = SavedConversation { path: format!("../../{ID}.jsonl"), ..saved };
        assert!(restore(&Codex, &out, new.path(), Path::new("/x")).is_err(), "a path that leads out");
    }

    #[test]
    fn what_is_saved_holds_no_secret() {
        let home = tempfile::tempdir().unwrap();
        let line = b"{\"type\":\"user\",\"text\":\"the key is hunter2-hunter2\"}\n";
        agent_home::write_file(home.path(), ".claude/projects", &format!("-x/{ID}.jsonl"), line).unwrap();
        let value = SecretValue::parse("hunter2-hunter2".to_owned()).unwrap();
        let secrets =
            Secrets::new(vec![Secret { env: "KEY".to_owned(), name: "KEY".to_owned(), value }]).unwrap();
        let saved = read(&Claude, AgentClient::Claude, home.path(), &secrets).unwrap();
        let mut text = String::new();
        GzDecoder::new(saved.content_gzip.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "{\"type\":\"user\",\"text\":\"the key is [secret KEY]\"}\n");
    }

    #[test]
    fn a_codex_conversation_keeps_its_place_and_what_it_used() {
        let home = tempfile::tempdir().unwrap();
        let path = format!("2026/02/03/rollout-2026-02-03T12-00-00-{ID}.jsonl");
        let line = br#"{"type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":10,"output_tokens":3}}}}"#;
        let content = [line.as_slice(), b"\n{\"half"].concat();
        agent_home::write_file(home.path(), ".codex/sessions", &path, &content).unwrap();
        let resumed = take_up(&Codex, home.path(), Path::new("/x")).unwrap().unwrap();
        assert_eq!((resumed.session.as_str(), resumed.used.input_tokens), (ID, 10));
        let kept = std::fs::read(home.path().join(".codex/sessions").join(path)).unwrap();
        assert_eq!(kept, [line.as_slice(), b"\n"].concat(), "the half line is gone");
    }

    #[test]
    fn codex_is_not_led_to_where_its_home_was() {
        let home = tempfile::tempdir().unwrap();
        let path = format!("2026/02/03/rollout-2026-02-03T12-00-00-{ID}.jsonl");
        agent_home::write_file(home.path(), ".codex/sessions", &path, b"{}\n").unwrap();
        let index = ["state_5.sqlite", "state_5.sqlite-wal", "state_5.sqlite-shm"];
        for name in index.iter().chain(&["goals_1.sqlite", "config.toml"]) {
            std::fs::write(home.path().join(".codex").join(name), "/old/home").unwrap();
        }
        take_up(&Codex, home.path(), Path::new("/x")).unwrap().unwrap();
        let mut left: Vec<_> = std::fs::read_dir(home.path().join(".codex")).unwrap().flatten().collect();
        left.sort_by_key(std::fs::DirEntry::file_name);
        let left: Vec<_> = left.iter().map(std::fs::DirEntry::file_name).collect();
        assert_eq!(left, ["config.toml", "goals_1.sqlite", "sessions"]);
    }
}
