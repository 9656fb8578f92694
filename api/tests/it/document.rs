//! The OpenAPI document: what it promises, as one line per answer.

use serde_json::Value;

fn document() -> Value {
    serde_json::to_value(makima_api::document()).unwrap()
}

/// Every method and path of the document that starts so.
pub(crate) fn operations(prefix: &str) -> Vec<(String, String)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for (path, methods) in paths.iter().filter(|(path, _)| path.starts_with(prefix)) {
        operations
            .extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    operations
}

#[test]
fn every_route_parameter_and_answer_is_described() {
    let document = document();
    let mut lines = Vec::new();
    for (method, path) in operations("/") {
        let operation = &document["paths"][&path][method.to_lowercase()];
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
        let key = if operation["security"].is_array() { " with a key" } else { "" };
        lines.push(format!("{method} {path}{key} [{}]", names.join(", ")));
        for (status, response) in operation["responses"].as_object().unwrap() {
            let types: Vec<_> = response["content"]
                .as_object()
                .map(|content| content.keys().cloned().collect())
                .unwrap_or_default();
            let codes: Vec<_> =
                response["description"].as_str().unwrap().split('`').skip(1).step_by(2).collect();
            lines.push(format!("  {status} {} {}", types.join(", "), codes.join(" ")).trim_end().to_owned());
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    let references = text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next());
    let mut count = 0;
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
        count += 1;
    }
    assert!(count > 20);
}
