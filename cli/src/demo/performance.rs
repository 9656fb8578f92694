//! The main part: the tasks run, somebody watches, and one worker is killed.

use std::path::Path;
use std::time::Duration;

use makima_shared::domain::{EventKind, TaskEvent, TaskId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::board::Board;
use super::graph::{Part, PerPart};
use super::kill::{Ambush, Kill};
use super::stack::Stack;
use super::view::{View, seconds};
use crate::client::{Client, ClientError, Follow, Followed, TaskDetail};

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How it went.
pub(crate) struct Performance {
    pub(crate) board: Board,
    /// None if the moment for it never came.
    pub(crate) kill: Option<Kill>,
}

/// What a stream brings.
enum News {
    Event(Part, TaskEvent, Option<Box<TaskDetail>>),
    Over,
    Failed(ClientError),
}

/// Watches all tasks to their ends and kills the victim's worker on the way.
pub(crate) async fn perform(
    client: &Client,
    stack: &mut Stack,
    ids: &PerPart<TaskId>,
    view: &View,
) -> anyhow::Result<Performance> {
    let (mut news, _feeds) = follow_all(client, ids);
    let mut performance = Performance { board: Board::new(), kill: None };
    let mut ambush = Some(Ambush::new());
    let mut open = Part::ALL.len();
    let mut ticks = interval(LOOK_EVERY);
    while open > 0 {
        tokio::select! {
            error = stack.ended() => return Err(error),
            heard = news.recv() => match heard {
                Some(News::Event(part, event, detail)) => performance.take(view, part, &event, detail.as_deref()),
                Some(News::Failed(error)) => return Err(error.into()),
                Some(News::Over) => open -= 1,
                None => open = 0,
            },
            _ = ticks.tick() => {}
        }
        let is_due = match &mut ambush {
            Some(ambush) => ambush.is_due(performance.board.rows.of(Part::Backend))?,
            None => false,
        };
        let workspace = performance.board.rows.of(Part::Backend).workspace.clone();
        if is_due
            && let Some(workspace) = workspace
            && let Some(ambush) = ambush.take()
        {
            let victim = *ids.of(Part::Backend);
            let kill = ambush.strike(client, stack, victim, Path::new(&workspace)).await?;
            performance.tell_kill(view, kill);
        }
        view.show(&performance.board);
    }
    view.close();
    Ok(performance)
}

impl Performance {
    fn take(&mut self, view: &View, part: Part, event: &TaskEvent, detail: Option<&TaskDetail>) {
        if let Some(detail) = detail {
            self.board.learn(part, detail);
        }
        let found_before = self.board.rows.of(part).found;
        let Some(words) = self.board.apply(part, event) else { return };
        let finds = self.board.rows.of(part).found != found_before;
        // What becomes of the victim is what the demo is about, and is said under the table as well.
        let after_kill = part == Part::Backend && self.kill.is_some();
        if after_kill && (event.kind == EventKind::Status || finds) {
            view.step(&format!("{:<9}  {words}", part.name()));
        } else {
            view.change(part, &words);
        }
    }

    fn tell_kill(&mut self, view: &View, kill: Kill) {
        let worker = &kill.worker;
        view.step(&format!(
            "killed {} (process {}) with SIGKILL, and took its disk away: backend had written {} lines, the newest checkpoint is {}",
            worker.name, worker.pid, kill.lines, kill.checkpoint
        ));
        view.step(&format!(
            "nobody else may touch backend until the dead worker's lease ends, in {}",
            seconds(worker.lease_expires_at - kill.at)
        ));
        self.board.rows.of_mut(Part::Backend).orphaned_until = Some(worker.lease_expires_at);
        self.kill = Some(kill);
    }
}

fn follow_all(client: &Client, ids: &PerPart<TaskId>) -> (mpsc::Receiver<News>, JoinSet<()>) {
    let (sender, news) = mpsc::channel(64);
    let mut feeds = JoinSet::new();
    for part in Part::ALL {
        let (client, id, sender) = (client.clone(), *ids.of(part), sender.clone());
        feeds.spawn(async move {
            let last = match feed(&client, part, id, &sender).await {
                Ok(()) => News::Over,
                Err(error) => News::Failed(error),
            };
            // Nobody listens any more where the demo was interrupted.
            drop(sender.send(last).await);
        });
    }
    (news, feeds)
}

async fn feed(
    client: &Client,
    part: Part,
    id: TaskId,
    sender: &mpsc::Sender<News>,
) -> Result<(), ClientError> {
    let mut follow = Follow::new(client, id, true);
    while let Some(step) = follow.next().await? {
        let Followed::Event(event) = step else { continue };
        // Only the task itself says who holds it now.
        let detail = match event.kind {
            EventKind::Status => Some(Box::new(client.task(id).await?)),
            EventKind::Output | EventKind::Checkpoint | EventKind::Notice => None,
        };
        if sender.send(News::Event(part, event, detail)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
