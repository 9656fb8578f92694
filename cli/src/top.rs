//! A live view of queue, owners, workers and running tasks.

mod input;
mod rates;
mod screen;

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use chrono::TimeDelta;
use makima_shared::domain::Overview;
use nix::sys::signal::{Signal, raise};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, ClientError};
use crate::render::{Rates, TopView, top_frame};
use input::{Input, Wish};
use rates::History;
use screen::Screen;

/// How long an answer may take before the API counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known so far.
struct Known<'a> {
    url: &'a str,
    overview: Option<Overview>,
    /// When the last answer came.
    answered: Instant,
    history: History,
    rates: Option<Rates>,
    trouble: Option<String>,
}

/// Shows frames until somebody asks for the end. An API that is away is waited for.
pub(crate) async fn watch(client: &Client, interval: Duration) -> anyhow::Result<ExitCode> {
    let mut known = Known {
        url: client.url(),
        overview: None,
        answered: Instant::now(),
        history: History::default(),
        rates: None,
        trouble: None,
    };
    let mut input = Input::listen()?;
    let screen = Screen::enter()?;
    known.draw(&screen)?;
    let mut asking = pin!(ask_after(Duration::ZERO, client));
    loop {
        tokio::select! {
            answer = &mut asking => {
                known.learn(answer)?;
                asking.set(ask_after(interval, client));
            }
            wish = input.next() => match wish {
                Wish::Leave(code) => return Ok(code),
                Wish::Redraw => {}
                Wish::Stop => screen.aside(stop)?,
            },
        }
        known.draw(&screen)?;
    }
}

/// Stops this process until somebody lets it go on.
fn stop() {
    // Nothing keeps a process from this signal.
    let _ = raise(Signal::SIGSTOP);
}

async fn ask_after(pause: Duration, client: &Client) -> Result<Overview, ClientError> {
    sleep(pause).await; // why: the interval that was asked for
    timeout(PATIENCE, client.overview()).await.unwrap_or_else(|_elapsed| {
        Err(ClientError::Unreachable {
            url: client.url().to_owned(),
            reason: format!("silence for {} s", PATIENCE.as_secs()),
        })
    })
}

impl Known<'_> {
    /// Takes an answer. An error that another try cannot mend is the end.
    fn learn(&mut self, answer: Result<Overview, ClientError>) -> Result<(), ClientError> {
        match answer {
            Ok(overview) => {
                self.history.push(&overview);
                self.rates = self.history.rates();
                self.overview = Some(overview);
                self.answered = Instant::now();
                self.trouble = None;
            }
            Err(error) if error.is_passing() => self.trouble = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn draw(&self, screen: &Screen) -> std::io::Result<()> {
        let view = TopView {
            url: self.url,
            overview: self.overview.as_ref(),
            rates: self.rates.as_ref(),
            trouble: self.trouble.as_deref(),
            age: TimeDelta::from_std(self.answered.elapsed()).unwrap_or(TimeDelta::MAX),
        };
        screen.draw(&top_frame(&view, Screen::size()))
    }
}
