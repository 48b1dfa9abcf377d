//! One JSON document out of several answers, written as they come.

use serde_json::Value;
use serde_json::value::RawValue;

use super::Output;
use crate::exit::Failure;
use crate::text::clean_json;

/// An object whose array is spread over pages. Nothing is written before the first page is there.
#[derive(Debug)]
pub(crate) struct PagedDocument {
    output: Output,
    /// What separates the next element from what stands before it.
    before_next: String,
}

impl PagedDocument {
    /// `fields` come before the array `name`.
    pub(crate) fn new(output: Output, fields: &[(&str, Value)], name: &str) -> Self {
        let fields: String = fields.iter().map(|(name, value)| format!("\"{name}\":{value},")).collect();
        Self { output, before_next: format!("{{{}\"{name}\":[", clean_json(&fields)) }
    }

    pub(crate) fn page(&mut self, elements: &[&RawValue]) -> Result<(), Failure> {
        let mut text = String::new();
        for element in elements {
            text.push_str(&std::mem::replace(&mut self.before_next, ",".to_owned()));
            text.push_str(&clean_json(element.get()));
        }
        self.output.write(&text)
    }

    /// Ends the document; `fields` come behind the array, those without a value are left out.
    pub(crate) fn end(self, fields: &[(&str, Option<Value>)]) -> Result<(), Failure> {
        let opening = if self.before_next == "," { "" } else { self.before_next.as_str() };
        let fields: String =
            fields.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!(",\"{name}\":{value}"))).collect();
        self.output.line(&format!("{opening}]{}}}", clean_json(&fields)))
    }
}
