//! Refusals of the vendor's: the task waits, and spends no retry and no slot.

use makima_scripted_model::Step;
use serde_json::{Value, json};

use super::for_each_client;
use super::pool::{Client, Pool, step};

for_each_client!(
    a_401_waits_for_a_login,
    a_429_waits_and_the_slot_is_free,
    a_529_waits_for_room,
    a_used_up_limit_waits_until_it_ends,
);

/// Runs a task into a refusal, and returns it as it waits.
async fn refused(pool: &Pool, refusal: Value, environment: &[(&str, &str)]) -> Value {
    let mut body = pool.task("refused", &[Step::run("echo one > one.txt"), step(refusal)]);
    body["maxRetries"] = 0.into();
    for (name, value) in environment {
        body["env"][name] = (*value).into();
        // With a key beside it a login is not used.
        body["env"].as_object_mut().unwrap().remove("ANTHROPIC_API_KEY");
    }
    let id = pool.stack.submit(&body).await;
    pool.stack.wait_for_status(&id, 1, "pending").await;
    let task = pool.stack.task(&id).await;
    assert_eq!((&task["status"], task["retryCount"].as_i64()), (&"pending".into(), Some(0)), "{task:#}");
    assert_eq!(task["attempts"][0]["outcome"], "agent_limited", "{task:#}");
    task
}

fn waits_for(task: &Value, what: &str) {
    let words = task["waitingFor"].as_str().unwrap_or_default();
    assert!(words.contains(what) && words.contains("UTC"), "{task:#}");
}

async fn a_401_waits_for_a_login(client: Client) {
    let pool = Pool::start(client, 1).await;
    let task = refused(
        &pool,
        json!({"refuse": 401, "kind": "authentication_error", "message": "invalid x-api-key"}),
        &[],
    )
    .await;
    waits_for(&task, "login");
}

async fn a_429_waits_and_the_slot_is_free(client: Client) {
    let pool = Pool::start(client, 1).await;
    let task =
        refused(&pool, json!({"refuse": 429, "kind": "rate_limit_error", "message": "slow down"}), &[]).await;
    waits_for(&task, "rate limit");
    let other = pool.carry_out(&pool.task("meanwhile", &[Step::say("done")])).await;
    assert_eq!(other["status"], "done", "the only slot is free: {other:#}");
}

async fn a_529_waits_for_room(client: Client) {
    let pool = Pool::start(client, 1).await;
    let task =
        refused(&pool, json!({"refuse": 529, "kind": "overloaded_error", "message": "Overloaded"}), &[])
            .await;
    waits_for(&task, "room");
}

async fn a_used_up_limit_waits_until_it_ends(client: Client) {
    let pool = Pool::start(client, 1).await;
    let ends_at = chrono::Utc::now() + chrono::TimeDelta::hours(2);
    let (seconds, login) = (ends_at.timestamp(), [("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-none")]);
    let refusal = match client {
        Client::Claude => json!({"refuse": 429, "kind": "rate_limit_error", "message": "limit", "headers": {
            "anthropic-ratelimit-unified-status": "rejected",
            "anthropic-ratelimit-unified-reset": seconds.to_string(),
            "anthropic-ratelimit-unified-representative-claim": "five_hour"}}),
        Client::Codex => json!({"refuse": 429, "kind": "usage_limit_reached", "message": "used up",
            "fields": {"plan_type": "pro", "resets_at": seconds}}),
    };
    let environment = if client == Client::Claude { &login[..] } else { &[] };
    let task = refused(&pool, refusal, environment).await;
    waits_for(&task, "usage limit");
    let words = task["waitingFor"].as_str().unwrap();
    let until = words.split_once("again at ").and_then(|(_, time)| time.strip_suffix(" UTC")).unwrap();
    let until = chrono::NaiveDateTime::parse_from_str(until, "%Y-%m-%d %H:%M:%S").unwrap().and_utc();
    // Codex says the minute alone, and tasks that wait for the same are spread a little.
    let late = until - ends_at;
    assert!(late.num_seconds().abs() <= 120, "it ends at {ends_at}: {words}");
}
