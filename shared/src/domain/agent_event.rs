//! What an agent's line says, in words that all clients share.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that a line of an agent tells. It stands beside the line as the agent wrote it, in the list `parsed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AgentEvent {
    /// The conversation has this name among the client's.
    Session {
        /// Its name.
        id: String,
    },
    /// The agent says something.
    Text {
        /// What it says.
        text: String,
    },
    /// The agent thinks aloud.
    Thinking {
        /// What it thinks.
        text: String,
    },
    /// The agent calls a tool.
    ToolUse {
        /// Names the call.
        id: String,
        /// The tool.
        name: String,
        /// What it is told.
        #[schema(value_type = Object)]
        input: Value,
    },
    /// A tool has answered.
    ToolResult {
        /// The call.
        id: String,
        /// The answer.
        text: String,
        /// The call failed.
        is_error: bool,
    },
    /// Something went wrong, for the whole turn or only for a moment.
    Error {
        /// What.
        message: String,
    },
    /// What the attempt has used so far.
    Usage(TokenUsage),
    /// What the attempt has cost so far, as the client reckons.
    Cost {
        /// In US dollars.
        usd: f64,
    },
    /// The turn is over.
    Result {
        /// The last word.
        text: String,
        /// It ended with an error.
        is_error: bool,
    },
}

/// How many tokens went to and came from a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenUsage {
    /// Read by the model anew.
    pub input_tokens: i64,
    /// Read by the model out of its cache, which costs a fraction.
    pub cached_input_tokens: i64,
    /// Written by the model.
    pub output_tokens: i64,
}

impl TokenUsage {
    /// Returns what counts towards `maxTokens`: all but those out of a cache.
    #[must_use]
    pub fn counted(&self) -> i64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// Adds two counts.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_input_tokens: self.cached_input_tokens.saturating_add(other.cached_input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
        }
    }

    /// Takes a count that came before off a later one. What would be below nothing is nothing.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = |now: i64, then: i64| now.saturating_sub(then).max(0);
        Self {
            input_tokens: less(self.input_tokens, before.input_tokens),
            cached_input_tokens: less(self.cached_input_tokens, before.cached_input_tokens),
            output_tokens: less(self.output_tokens, before.output_tokens),
        }
    }
}

/// What an attempt, or all attempts of a task, have spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spend {
    /// The tokens.
    #[serde(flatten)]
    pub tokens: TokenUsage,
    /// In US dollars, as the client reckons; none if it does not.
    pub cost_usd: Option<f64>,
}

impl Spend {
    /// Adds two of them.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let cost_usd = match (self.cost_usd, other.cost_usd) {
            (Some(one), Some(two)) => Some(one + two),
            (one, two) => one.or(two),
        };
        Self { tokens: self.tokens.plus(&other.tokens), cost_usd }
    }

    /// Tells whether there is nothing to tell.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What a task may spend over all of its attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Caps {
    /// In US dollars.
    pub max_cost_usd: Option<f64>,
    /// Tokens, those out of a cache left out.
    pub max_tokens: Option<i64>,
}

impl Caps {
    /// Says in words which of them is reached, if one is.
    #[must_use]
    pub fn reached(&self, spent: &Spend) -> Option<String> {
        let cost = spent.cost_usd.unwrap_or_default();
        let tokens = spent.tokens.counted();
        if let Some(cap) = self.max_cost_usd.filter(|cap| cost >= *cap) {
            return Some(format!("it has cost {cost:.2} of {cap:.2} USD (maxCostUsd)"));
        }
        let cap = self.max_tokens.filter(|cap| tokens >= *cap)?;
        Some(format!("it has used {tokens} of {cap} tokens (maxTokens)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_that_is_reached_is_named() {
        let tokens = TokenUsage { input_tokens: 60, cached_input_tokens: 1000, output_tokens: 40 };
        let spent = Spend { tokens, cost_usd: Some(0.5) };
        assert_eq!(Caps::default().reached(&spent), None);
        let caps = Caps { max_cost_usd: Some(1.0), max_tokens: Some(101) };
        assert_eq!(caps.reached(&spent), None);
        let caps = Caps { max_cost_usd: None, max_tokens: Some(100) };
        assert_eq!(caps.reached(&spent).unwrap(), "it has used 100 of 100 tokens (maxTokens)");
        let caps = Caps { max_cost_usd: Some(0.5), max_tokens: None };
        assert_eq!(caps.reached(&spent).unwrap(), "it has cost 0.50 of 0.50 USD (maxCostUsd)");
    }

    #[test]
    fn differences_are_never_below_nothing() {
        let more = TokenUsage { input_tokens: 5, cached_input_tokens: 0, output_tokens: 1 };
        let less = TokenUsage { input_tokens: 2, cached_input_tokens: 9, output_tokens: 1 };
        assert_eq!(more.since(&less), TokenUsage { input_tokens: 3, ..TokenUsage::default() });
    }
}
