//! What a client is asked to do: in its arguments, on standard input as text, or as messages while it runs.

use std::io::{BufRead as _, Read as _};

use serde_json::Value;
use tokio::sync::mpsc;

/// How many messages may wait for their turn.
const WAITING: usize = 64;

/// A prompt, with its name if it has one.
pub(crate) struct Prompt {
    pub(crate) id: Option<String>,
    pub(crate) text: String,
}

/// The prompts of a run, in order.
pub(crate) struct Prompts(mpsc::Receiver<Prompt>);

impl Prompts {
    /// One prompt and no more.
    pub(crate) fn one(text: String) -> Self {
        let (sink, prompts) = mpsc::channel(1);
        // There is room for one.
        let _ = sink.try_send(Prompt { id: None, text });
        Self(prompts)
    }

    /// All of standard input as one prompt.
    pub(crate) fn stdin() -> std::io::Result<Self> {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        Ok(Self::one(text))
    }

    /// A message with each line of standard input, until that ends.
    pub(crate) fn stdin_messages() -> Self {
        let (sink, prompts) = mpsc::channel(WAITING);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
                let id = message["uuid"].as_str().map(str::to_owned);
                let prompt = Prompt { id, text: words(&message["message"]["content"]) };
                if sink.blocking_send(prompt).is_err() {
                    return;
                }
            }
        });
        Self(prompts)
    }

    /// Waits for the next; none when there will be no more.
    pub(crate) async fn next(&mut self) -> Option<Prompt> {
        self.0.recv().await
    }

    /// Returns the next if it has come already.
    pub(crate) fn come(&mut self) -> Option<Prompt> {
        self.0.try_recv().ok()
    }
}

fn words(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let blocks = content.as_array().map_or(&[][..], Vec::as_slice);
    blocks.iter().filter_map(|block| block["text"].as_str()).collect()
}
