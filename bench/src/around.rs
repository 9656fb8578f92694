//! Around a client: what a task of a client takes besides the client, and what it holds in memory besides, without a
//! sandbox and, where the machine has it, in bubblewrap.
//!
//! ```text
//!  model ▶ for each level: stack (`makima up`, one worker) ▶ warm-up ▶ floors ▶ times ▶ memory ▶ floors
//! ```
//!
//! The client is the stand-in of the tests, which asks the scripted model of this process. Between it and makima stands this
//! program under the client's name (`client_stamp.rs`), which says when the client began and when it had ended.

pub(crate) mod client_stamp;
mod level;
mod memory;
mod programs;
mod times;

use makima_scripted_model::{ScriptedModel, Step, script_line};
use makima_shared::domain::{Agent, TaskSubmission};

use crate::agents::{Bench, repository};
use crate::floors::{Floor, Floors, servers};
use crate::options::Options;
use crate::progress::Progress;
use crate::report::Part;
use crate::scratch::Scratch;
use crate::stack::{Shape, Stack};
use level::Level;

/// The names of the measurements, for `--only`.
pub(crate) const NAMES: [&str; 2] = ["client", "client-memory"];

/// How many tasks the worker runs at once, which is also how many hold memory when that is measured.
const SLOTS: usize = 20;

/// A running stack, a model, and the process that is the worker's ancestor.
struct Around<'a> {
    bench: Bench<'a>,
    level: Level,
    model: &'a ScriptedModel,
    stack_pid: u32,
}

impl Around<'_> {
    /// Returns a task of the client whose model does these steps.
    fn task(&self, steps: &[Step]) -> TaskSubmission {
        let agent = Agent::Claude { model: None, args: Vec::new(), looping: None };
        let env = [("ANTHROPIC_BASE_URL", self.model.url()), ("ANTHROPIC_API_KEY", "no-key".to_owned())];
        TaskSubmission {
            agent,
            plan: format!("Do what the script says.\n{}", script_line(steps)),
            env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ..self.bench.no_op()
        }
    }

    /// Measures the floors that the rows name.
    async fn measure_floors(&self, floors: &mut Floors) -> anyhow::Result<()> {
        let commits = servers::commits(self.bench.progress, &self.bench.servers).await?;
        floors.add(Floor::Commit, commits);
        self.bench.measure_processes(floors).await
    }
}

/// Measures all that is asked for, over one stack after the other, of which the last is left running.
pub(crate) async fn measure(
    options: &Options,
    scratch: &Scratch,
    progress: &Progress,
    running: &mut Option<Stack>,
) -> anyhow::Result<Part> {
    let programs = programs::make(scratch)?;
    let repository = repository::make(scratch).await?;
    let model = ScriptedModel::start().await?;
    let levels = level::of_this_machine(options).await?;
    let (mut floors, mut rows) = (Floors::default(), Vec::new());
    for level in &levels {
        if let Some(before) = running.take() {
            before.stop().await;
        }
        let shape = Shape::of_client(SLOTS, level.setting(), &programs);
        let stack = running.insert(Stack::spawn(options, scratch, &shape)?);
        let api = stack.ready(1, progress).await?;
        let (servers, stack_pid) = (stack.servers()?, stack.pid().unwrap_or_default());
        let bench = Bench { options, scratch, progress, repository: repository.clone(), api, servers };
        let around = Around { bench, level: *level, model: &model, stack_pid };
        times::warm_up(&around).await?;
        around.measure_floors(&mut floors).await?;
        if options.wants("client") {
            rows.extend(times::measure(&around).await?);
        }
        if options.wants("client-memory") {
            rows.extend(memory::measure(&around).await?);
        }
        around.measure_floors(&mut floors).await?;
    }
    let lacks = if levels.contains(&Level::Bubblewrap) { "" } else { " This machine has no bubblewrap." };
    let about = format!(
        "What a task of a client takes besides the client, and holds in memory besides: one worker of {SLOTS} slots, a \
         repository of {} files, `claude` as the stand-in of the tests.{lacks}",
        repository::FILES
    );
    Ok(Part { title: "Around a client", about, floors, rows })
}
