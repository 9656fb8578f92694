//! `makima bulk`

mod file;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::ClientArgs;
use crate::render;

const EXAMPLE: &str = "\
Prints the ids of the tasks, in their order. Up to 1,000 tasks are taken together or not at all, and may name each other by \
\"ref\"; more go in several requests, one after the other. For example:

  {\"ref\": \"a\", \"name\": \"build\", \"plan\": \"..\", \"repositoryUrl\": \"..\", \"agent\": {\"kind\": \"command\", \"argv\": [\"..\"]}}
  {\"name\": \"test\", \"dependsOn\": [\"a\"], ..}";

/// The tasks to submit.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct BulkArgs {
    /// A file with tasks in JSON, as the API takes them: one after the other, or in an array; - reads them from standard
    /// input
    file: PathBuf,

    /// Sent with the tasks: the same key and tasks make them once, however often they are sent (default: a random one)
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: BulkArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    let requests = file::requests(file::read(&args.file)?)?;
    let key = args.idempotency_key.unwrap_or_else(|| Uuid::now_v7().to_string());
    let (several, mut taken) = (requests.len() > 1, Vec::new());
    for (number, tasks) in requests.iter().enumerate() {
        let key = if several { format!("{key}-{number}") } else { key.clone() };
        let submitted = client.submit_bulk(tasks, &key).await;
        let ids = submitted.with_context(|| match taken.len() {
            0 => "no task was taken".to_owned(),
            count => format!("the first {count} tasks were taken, the others not"),
        })?;
        if !args.client.json {
            let mut out = std::io::stdout().lock();
            for id in &ids {
                writeln!(out, "{id}")?;
            }
        }
        taken.extend(ids);
    }
    if args.client.json {
        let ids: Vec<Value> = taken.iter().map(|id| json!(id)).collect();
        writeln!(std::io::stdout(), "{}", render::json(&json!({ "ids": ids }))?)?;
    }
    Ok(ExitCode::SUCCESS)
}
