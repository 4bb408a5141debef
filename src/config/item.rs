//! One value of the file, its place, and how a type is read from it without stopping at the first mistake.

use toml::de::DeValue;

use super::problem::{Place, Reporter};
use super::section::{Key, Section, read_section};

/// Something that can stand on the right of a `=`.
pub(crate) trait Value: Sized {
    /// What to write, for complaints and for the reference: «a duration such as `60s`».
    fn want() -> String;

    /// Reads the value, or complains and gives nothing.
    fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self>;

    /// The keys inside, where the value is an inline table.
    fn inside() -> Vec<Key> {
        Vec::new()
    }
}

/// A value that can be written back, for defaults.
pub(crate) trait Written: Value {
    /// As TOML.
    fn written(&self) -> String;
}

/// A value and where it stands, so that a mistake found later still has its line.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// A value not yet read.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    pub(crate) place: Place,
    pub(crate) value: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    /// The value as text, or a complaint.
    pub(crate) fn text(&self, want: &str, reporter: &mut Reporter<'_>) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong(want, reporter);
        }
        text
    }

    /// The elements of an array, or a complaint.
    pub(crate) fn elements(&self, want: &str, reporter: &mut Reporter<'_>) -> Option<Vec<Item<'a>>> {
        let Some(array) = self.value.as_array() else {
            self.wrong(want, reporter);
            return None;
        };
        let element = |(index, value): (usize, &'a toml::Spanned<DeValue<'a>>)| {
            let place = Place { key: format!("{}[{index}]", self.place.key), span: value.span() };
            Item { place, value: value.get_ref() }
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// The value as a section, or a complaint.
    pub(crate) fn section<T: Section>(&self, reporter: &mut Reporter<'_>) -> Option<T> {
        let Some(table) = self.value.as_table() else {
            self.wrong("a table", reporter);
            return None;
        };
        Some(read_section(self.place.clone(), table, reporter))
    }

    /// Complains that the value is of another type.
    pub(crate) fn wrong(&self, want: &str, reporter: &mut Reporter<'_>) {
        let is = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        reporter.error(&self.place, format!("this is {is}"), format!("write {want}"));
    }
}
