//! What the API can be asked about secrets.

use makima_shared::domain::{SecretSummary, SecretValue};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, ClientError};

#[derive(Deserialize)]
struct SecretList {
    secrets: Vec<SecretSummary>,
}

impl Client {
    /// Sets a secret.
    pub(crate) async fn secret_set(&self, name: &str, value: &SecretValue) -> Result<Value, ClientError> {
        let body = json!({ "value": value.expose() });
        self.json(self.request(Method::PUT, &["secrets", name], &[]).json(&body)).await
    }

    /// Lists the secrets, as the API tells them.
    pub(crate) async fn secrets_json(&self) -> Result<Value, ClientError> {
        self.json_retrying(|| self.request(Method::GET, &["secrets"], &[])).await
    }

    /// Reads the secrets of a list.
    pub(crate) fn read_secrets(&self, list: Value) -> Result<Vec<SecretSummary>, ClientError> {
        self.read(list).map(|SecretList { secrets }| secrets)
    }

    /// Deletes a secret.
    pub(crate) async fn secret_delete(&self, name: &str) -> Result<(), ClientError> {
        self.bytes(self.request(Method::DELETE, &["secrets", name], &[])).await.map(|_nothing| ())
    }
}
