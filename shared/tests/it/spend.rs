//! What agents spend, what caps and limits do to a task, and conversations.

use std::time::Duration;

use makima_shared::domain::{
    AgentClient, SavedConversation, Spend, TaskChanges, TaskId, TaskStatus, TokenUsage, Transition,
};
use makima_shared::store::{ChangeError, Fenced, OpenAttempt};
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Fixture, HOUR, accepted, agent_failure};

fn spend(tokens: i64, cost_usd: Option<f64>) -> Spend {
    let tokens = TokenUsage { input_tokens: tokens, cached_input_tokens: 1, output_tokens: 2 };
    Spend { tokens, cost_usd }
}

fn conversation(text: &str) -> SavedConversation {
    SavedConversation {
        client: AgentClient::Claude,
        session: "s".to_owned(),
        path: "p/s.jsonl".to_owned(),
        content_gzip: text.as_bytes().to_vec(),
        unpacked_bytes: 1,
        sha256: vec![7; 32],
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn what_attempts_spend_adds_up_and_a_stale_one_adds_nothing(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let first = f.run(task).await;
    accepted(f.store.attempt_spent(first, &spend(1, None)).await.unwrap());
    accepted(f.store.attempt_spent(first, &spend(10, Some(0.5))).await.unwrap());
    f.fail(first, agent_failure()).await;
    assert!(matches!(f.store.attempt_spent(first, &spend(99, None)).await.unwrap(), Fenced::Stale));
    f.release().await;
    let second = f.claim(f.worker().await, task).await;
    accepted(f.store.attempt_spent(second, &spend(5, None)).await.unwrap());
    let all = Spend {
        tokens: TokenUsage { input_tokens: 15, cached_input_tokens: 2, output_tokens: 4 },
        cost_usd: Some(0.5),
    };
    assert_eq!(f.store.attempts_spent(task).await.unwrap(), all);
    assert_eq!(f.task(task).await.spent, all);
    let each: Vec<_> = f.store.attempts_list(f.owner, task).await.unwrap();
    assert_eq!((each[0].spent, each[1].spent), (spend(10, Some(0.5)), spend(5, None)));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_limit_is_waited_for_and_says_so(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"maxRetries": 0})).await;
    let attempt = f.run(task).await;
    let limited =
        Transition::agent_limited(attempt.epoch, "AGENT_USAGE_LIMIT", "resets", Some(HOUR), 0, 0, 0);
    f.apply(task, &limited).await;
    let row = f.task(task).await;
    assert_eq!((row.status, row.retry_count), (TaskStatus::Pending, 0));
    assert!(f.release().await.is_empty(), "it rests");
    let words = f.store.task_waiting_for(f.owner, &row).await.unwrap().unwrap();
    let until = row.not_before.unwrap().format("%Y-%m-%d %H:%M:%S UTC");
    assert_eq!(words, format!("its agent's usage limit to end: tried again at {until}"));
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_over_its_budget_goes_on_with_a_higher_cap(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"agent": {"kind": "claude"}, "maxCostUsd": 1.5, "maxTokens": 10})).await;
    let attempt = f.claim(f.worker_that_offers(&["agent:claude"], HOUR).await, task).await;
    f.apply(task, &Transition::started(attempt.epoch)).await;
    f.apply(task, &Transition::over_budget(attempt.epoch, "spent")).await;
    let row = f.task(task).await;
    assert_eq!(
        (row.status, row.max_cost_usd, row.max_tokens),
        (TaskStatus::Interrupted, Some(1.5), Some(10))
    );
    let changes = TaskChanges {
        max_cost_usd: Some(None),
        max_tokens: Some(Some(20)),
        ..TaskChanges::of_version(row.version)
    };
    let policy = makima_shared::domain::SubmissionPolicy { allow_local_repositories: true };
    f.store.task_change(f.owner, task, &changes.check(&policy).unwrap()).await.unwrap();
    f.start(task).await;
    let row = f.task(task).await;
    assert_eq!((row.status, row.max_cost_usd, row.max_tokens), (TaskStatus::Queued, None, Some(20)));
    f.assert_history_gives_status(task).await;
}

/// A cap that nothing is held against would be a trap for who pays.
#[sqlx::test(migrations = "../migrations")]
async fn a_cap_comes_with_an_agent_that_tells_what_it_spends(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"agent": {"kind": "claude"}, "maxCostUsd": 1.5, "maxTokens": 10})).await;
    let change = async |mut body: serde_json::Value| {
        body["version"] = f.task(task).await.version.into();
        let changes: TaskChanges = serde_json::from_value(body).unwrap();
        let policy = makima_shared::domain::SubmissionPolicy { allow_local_repositories: true };
        match f.store.task_change(f.owner, task, &changes.check(&policy).unwrap()).await {
            Err(ChangeError::Unfit(error)) => error.field,
            changed => format!("changed: {}", changed.is_ok()),
        }
    };
    assert_eq!(change(json!({"agent": {"kind": "codex"}})).await, "maxCostUsd");
    assert_eq!(change(json!({"agent": {"kind": "codex"}, "maxCostUsd": null})).await, "changed: true");
    assert_eq!(change(json!({"maxCostUsd": 2})).await, "maxCostUsd");
    assert_eq!(change(json!({"maxTokens": 20})).await, "changed: true");
    assert_eq!(change(json!({"agent": {"kind": "command", "argv": ["true"]}})).await, "maxTokens");

    // One from a time when such a cap was taken can still be renamed.
    sqlx::query("UPDATE tasks SET max_cost_usd = 1").execute(&f.pool).await.unwrap();
    assert_eq!(change(json!({"name": "new"})).await, "changed: true");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_client_is_asked_for_by_its_label_however_the_agent_changes(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"agent": {"kind": "claude"}, "labels": ["gpu"]})).await;
    assert_eq!(f.task(task).await.labels, ["agent:claude", "gpu"]);
    let change = async |body: serde_json::Value| {
        let mut body = body;
        body["version"] = f.task(task).await.version.into();
        let changes: TaskChanges = serde_json::from_value(body).unwrap();
        let policy = makima_shared::domain::SubmissionPolicy { allow_local_repositories: true };
        f.store.task_change(f.owner, task, &changes.check(&policy).unwrap()).await.unwrap();
        f.task(task).await.labels
    };
    assert_eq!(change(json!({"agent": {"kind": "codex"}})).await, ["agent:codex", "gpu"]);
    assert_eq!(change(json!({"labels": ["tpu"]})).await, ["agent:codex", "tpu"]);
    assert_eq!(change(json!({"agent": {"kind": "command", "argv": ["true"]}})).await, ["tpu"]);
}

async fn saved(f: &Fixture, attempt: OpenAttempt, number: i32, text: &str) {
    let saved = conversation(text);
    accepted(f.store.conversation_save(attempt, number, &saved, HOUR).await.unwrap());
}

async fn found(f: &Fixture, task: TaskId, number: i32) -> Option<String> {
    let found = f.store.conversation_of_checkpoint(task, number, AgentClient::Claude).await.unwrap();
    found.map(|found| String::from_utf8(found.content_gzip).unwrap())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_conversation_goes_with_its_checkpoint_and_the_last_three_are_kept(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let attempt = f.run(task).await;
    assert_eq!(found(&f, task, i32::MAX).await, None);
    for number in 0..5 {
        saved(&f, attempt, number, &number.to_string()).await;
    }
    saved(&f, attempt, 4, "four").await;
    assert_eq!(found(&f, task, i32::MAX).await.as_deref(), Some("four"));
    assert_eq!(found(&f, task, 3).await.as_deref(), Some("3"));
    assert_eq!((found(&f, task, 2).await.as_deref(), found(&f, task, 1).await), (Some("2"), None));
    let codex = f.store.conversation_of_checkpoint(task, 9, AgentClient::Codex).await.unwrap();
    assert!(codex.is_none(), "of another client");
    assert!(f.store.conversation_last(f.owner, task).await.unwrap().is_some());

    f.complete(attempt).await;
    let late = f.store.conversation_save(attempt, 9, &conversation("late"), HOUR).await.unwrap();
    assert!(matches!(late, Fenced::Stale));
    assert!(matches!(f.store.conversations_forget(attempt).await.unwrap(), Fenced::Stale));
    f.start(task).await;
    assert_eq!(found(&f, task, 9).await, None, "a new run begins anew");
}

#[sqlx::test(migrations = "../migrations")]
async fn conversations_that_are_refused_or_expired_go(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let attempt = f.run(task).await;
    saved(&f, attempt, 1, "bad").await;
    accepted(f.store.conversations_forget(attempt).await.unwrap());
    assert_eq!(found(&f, task, 9).await, None);
    let old = conversation("old");
    accepted(f.store.conversation_save(attempt, 2, &old, Duration::ZERO).await.unwrap());
    assert_eq!(f.store.conversations_prune(10).await.unwrap(), 0, "the task may go on with it");
    f.complete(attempt).await;
    assert_eq!(f.store.conversations_prune(10).await.unwrap(), 1);
}
