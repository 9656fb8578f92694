//! A worker whose disk is nearly full takes nothing new: it gives back what it can spare, and if that is not enough it goes
//! into quarantine for a while, with the reason for all to see.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use makima_shared::store::answered;
use tracing::{info, warn};

use super::Life;

/// How long it is until the disk is looked at again.
const QUARANTINE: Duration = Duration::from_secs(30);

/// Tells whether there is room for another task. If not, the worker is in quarantine when this returns.
pub(super) async fn is_enough(life: &Arc<Life>) -> bool {
    let wanted = life.context.config.worker.min_free_bytes;
    let data_dir = &life.context.config.worker.data_dir;
    if free_bytes(data_dir) >= wanted {
        return true;
    }
    let sparing = Arc::clone(life);
    // A panic in it leaves the room as it was.
    let _ = tokio::task::spawn_blocking(move || spare(&sparing)).await;
    let free = free_bytes(data_dir);
    if free >= wanted {
        info!(worker.id = %life.id, free, "made room on the disk");
        return true;
    }
    let reason = format!("its disk is nearly full: {free} bytes are free, and {wanted} shall be");
    match answered(life.context.store.worker_quarantine_itself(life.id, QUARANTINE, &reason)).await {
        Ok(quarantine) => drop(life.lease.quarantine.send_replace(quarantine)),
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, reason, "cannot say why no tasks are taken")
        }
    }
    false
}

/// Gives up what can be had again: workspaces that wait for a task, copies that nobody uses.
fn spare(life: &Life) {
    life.ready.clear();
    life.kept.clear();
    if let Err(error) = life.context.repositories.trim(0) {
        warn!(%error, "copies of repositories cannot be removed");
    }
}

/// Returns how much of the disk the worker may still fill. Where that cannot be told, there is room: what does not fit
/// fails on its own.
fn free_bytes(directory: &Path) -> u64 {
    match nix::sys::statvfs::statvfs(directory) {
        Ok(stat) => stat.blocks_available().saturating_mul(stat.fragment_size()),
        Err(_) => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_room_and_one_that_is_not_there_says_nothing() {
        assert!(free_bytes(&std::env::temp_dir()) < u64::MAX);
        assert_eq!(free_bytes(Path::new("/nowhere/at/all")), u64::MAX);
    }
}
