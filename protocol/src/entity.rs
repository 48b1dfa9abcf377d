//! Entities and the changes that applications push.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// One entity as a JSON object, fields as AdminEngine names them.
pub type Record = Map<String, Value>;

/// The `changes` of a push: entity types in the order in which the application wrote them, each with its entities.
///
/// An entity may be any JSON value here, so that the daemon can say which one is no object and where it stands. A type that is
/// written twice is refused: the parsers of most languages would silently drop one of the two lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes(pub Vec<(String, Vec<Value>)>);

impl Changes {
    /// How many entities there are in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(|(_, entities)| entities.len()).sum()
    }
}

impl Serialize for Changes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (entity_type, entities) in &self.0 {
            map.serialize_entry(entity_type, entities)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Changes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChangesVisitor;

        impl<'de> Visitor<'de> for ChangesVisitor {
            type Value = Changes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of entity types, each with an array of entities")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Changes, A::Error> {
                let mut changes: Vec<(String, Vec<Value>)> = Vec::new();
                while let Some((entity_type, entities)) = map.next_entry::<String, Vec<Value>>()? {
                    if changes.iter().any(|(seen, _)| *seen == entity_type) {
                        return Err(A::Error::custom(format_args!("entity type {entity_type:?} is given twice")));
                    }
                    changes.push((entity_type, entities));
                }
                Ok(Changes(changes))
            }
        }

        deserializer.deserialize_map(ChangesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_types_keep_the_order_in_which_they_were_written() {
        let text = r#"{"zebra":[{"id":1}],"ant":[]}"#;
        let changes: Changes = serde_json::from_str(text).expect("valid changes");
        assert_eq!(changes.0.iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>(), ["zebra", "ant"]);
        assert_eq!(serde_json::to_string(&changes).expect("serializable"), text);
    }

    #[test]
    fn a_type_given_twice_is_refused_by_name() {
        let error = serde_json::from_str::<Changes>(r#"{"a":[{}],"a":[{}]}"#).expect_err("a repeated type");
        assert!(error.to_string().contains("\"a\" is given twice"), "{error}");
    }
}
