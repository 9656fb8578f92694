//! A secret over the whole stack: the agent has it, and nothing else ever does.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::stack::{Options, Stack};

const VALUE: &str = "correct-horse-battery-staple";
/// The same in base64.
const IN_BASE64: &str = "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ";

fn makima(stack: &Stack, args: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
    command.args(args).arg("--client").arg(stack.data_dir().join("client.json"));
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Lists the files below a directory that hold the value.
fn files_with_value(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_with_value(&path, found),
            Ok(kind) if kind.is_file() => {
                let content = std::fs::read(&path).unwrap_or_default();
                let has = |text: &str| content.windows(text.len()).any(|part| part == text.as_bytes());
                if has(VALUE) || has(IN_BASE64) {
                    found.push(path.display().to_string());
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Lists the tables with a row that holds the value.
async fn tables_with_value(stack: &Stack) -> Vec<String> {
    let pool = sqlx::PgPool::connect(&stack.database_url()).await.unwrap();
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
            .fetch_all(&pool)
            .await
            .unwrap();
    let hex = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut found = Vec::new();
    for table in tables {
        // Bytes are written in hexadecimal.
        let query = format!(
            "SELECT count(*) FROM {table} t WHERE strpos(t::text, $1) + strpos(t::text, $2) + strpos(t::text, $3) > 0"
        );
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(VALUE).bind(&hex).bind(IN_BASE64);
        let rows: i64 = query.fetch_one(&pool).await.unwrap();
        if rows > 0 {
            found.push(table);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_has_its_secret_and_nothing_else_ever_does() {
    let stack = Stack::start(1, 1).await;
    let key = stack.data_dir().join("secrets.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let (ok, text) = makima(&stack, &["secret", "set", "TOKEN"], &format!("{VALUE}\n"));
    assert!(ok && text == "TOKEN is set\n", "{text}");
    let (ok, text) = makima(&stack, &["secret", "list"], "");
    assert!(ok && text.contains("TOKEN") && !text.contains(VALUE), "{text}");
    assert!(!makima(&stack, &["secret", "set", "SHORT"], "short\n").0);

    let seen = stack.shared("seen");
    let script = format!(
        "[ \"$OTHER\" = \"$TOKEN\" ]; printf %s \"$TOKEN\" | wc -c > '{seen}'\n\
         echo \"it is $TOKEN.\"; echo \"$TOKEN\" >&2; printf %s \"$TOKEN\" | base64\n\
         half=$(printf %s \"$TOKEN\" | cut -c 1-9); printf %s \"$half\"; sleep 0.2; echo \"${{TOKEN#\"$half\"}}\"\n\
         head -c 65530 /dev/zero | tr '\\0' x; echo \"$TOKEN\"\n\
         echo \"KEY=$TOKEN\" > .env; echo clean > clean\n\
         git -c user.name=A -c user.email=a@b commit -q --allow-empty -m \"with $TOKEN\"\n\
         makima checkpoint -m \"saved with $TOKEN\"",
        seen = seen.display()
    );
    let mut body = stack.script("use it", &script);
    body["secrets"] = json!(["TOKEN", { "env": "OTHER", "secret": "TOKEN" }]);
    let id = stack.submit(&body).await;
    let task = stack.wait_for_end(&id).await;
    let output = stack.get(&format!("/mesh/tasks/{id}/output")).await;
    assert_eq!(task["status"], "done", "{task:#} {output:#}");
    assert_eq!(std::fs::read_to_string(seen).unwrap().trim(), VALUE.len().to_string());
    let lines: Vec<_> =
        output["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert!(lines.contains(&"it is [secret TOKEN]."), "{lines:?}");
    // Its own line, the one on standard error, the one in two halves.
    assert_eq!(lines.iter().filter(|line| **line == "[secret TOKEN]").count(), 2, "{lines:?}");
    let events = json!(stack.events(&id).await).to_string();
    assert!(!events.contains(VALUE) && !events.contains(IN_BASE64));
    assert!(events.contains("SECRET_LEFT_OUT") && events.contains(".env (secret TOKEN)"), "{events}");
    assert!(events.contains("COMMITS_NOT_SAVED") && events.contains("saved with [secret TOKEN]"), "{events}");
    let pushed = stack.repository.git(&["log", "--all", "-p"]);
    assert!(pushed.contains("+clean") && !pushed.contains(VALUE), "{pushed}");
    let (ok, diff) = makima(&stack, &["diff", &id], "");
    assert!(ok && diff.contains("+clean") && !diff.contains(VALUE), "{diff}");

    assert!(tables_with_value(&stack).await.is_empty(), "{:?}", tables_with_value(&stack).await);
    let mut files = Vec::new();
    files_with_value(&stack.data_dir(), &mut files);
    assert!(files.is_empty(), "{files:?}");
    assert!(!stack.log().contains(VALUE));
    let metrics = stack.metrics().await;
    assert!(metrics.contains("makima_") && !metrics.contains(VALUE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_secret_was_deleted_fails_without_retries() {
    let stack = Stack::start(1, 1).await;
    assert!(makima(&stack, &["secret", "set", "TOKEN"], VALUE).0);
    let mut body = stack.script("late", "echo never");
    body["secrets"] = json!(["TOKEN"]);
    body["runAt"] = json!("9999-01-01T00:00:00Z");
    let id = stack.submit(&body).await;
    assert!(makima(&stack, &["secret", "delete", "TOKEN"], "").0);
    let (status, refused): (u16, Value) = stack.submit_raw(body.to_string()).await;
    assert_eq!((status, &refused["error"]["fields"][0]["field"]), (422, &json!("secrets")));
    stack.post(&format!("/mesh/tasks/{id}/start")).await;
    let end = stack.wait_for_end(&id).await;
    assert_eq!(
        (&end["status"], &end["statusCode"]),
        (&json!("failed"), &json!("SECRET_NOT_FOUND")),
        "{end:#}"
    );
    assert_eq!(end["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_by_way_of_its_use_and_without_it_the_task_says_so() {
    let (first, second, third) = ("0a".repeat(32), "0b".repeat(32), "0c".repeat(32));
    let mut stack = Stack::prepared(Options { workers: 1, slots: 1, durable: true, programs: None });
    stack.set_env("MAKIMA_SECRETS_KEY", &first);
    stack.up().await;
    assert!(!stack.data_dir().join("secrets.key").exists(), "there is a key already");
    assert!(makima(&stack, &["secret", "set", "TOKEN"], VALUE).0);
    let before = key_ids(&stack).await;

    stack.kill_everything();
    stack.set_env("MAKIMA_SECRETS_KEY", &second);
    stack.set_env("MAKIMA_SECRETS_KEY_PREVIOUS", &first);
    stack.up().await;
    let mut body = stack.script("use it", "echo ${#TOKEN}");
    body["secrets"] = json!(["TOKEN"]);
    body["maxRetries"] = json!(0);
    let id = stack.submit(&body).await;
    assert_eq!(stack.wait_for_end(&id).await["status"], "done");
    let after = key_ids(&stack).await;
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");

    stack.kill_everything();
    stack.set_env("MAKIMA_SECRETS_KEY", &third);
    stack.set_env("MAKIMA_SECRETS_KEY_PREVIOUS", "");
    stack.up().await;
    let id = stack.submit(&body).await;
    let end = stack.wait_for_end(&id).await;
    assert_eq!(
        (&end["status"], &end["statusCode"]),
        (&json!("failed"), &json!("SECRET_NOT_READABLE")),
        "{end:#}"
    );
}

async fn key_ids(stack: &Stack) -> Vec<String> {
    let pool = sqlx::PgPool::connect(&stack.database_url()).await.unwrap();
    sqlx::query_scalar("SELECT DISTINCT key_id FROM owner_secrets").fetch_all(&pool).await.unwrap()
}
