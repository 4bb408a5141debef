//! Sections: a table with known keys, declared once.
//!
//! A derived serde `Deserialize` ends at its first error, so one start would tell of one mistake. Here the macro
//! `section!` makes of one declaration the struct, its tolerant reader, and the rows of the reference; unknown keys are
//! those that no field asked for.

use toml::de::DeTable;

use super::item::Item;
use super::problem::{Place, Reporter};
use super::words::{nearest, quoted};

/// A table with known keys; made by `section!`.
pub(crate) trait Section: Sized {
    /// Keys of the full design that this version does not have yet.
    const LATER: &'static [&'static str];

    /// What the section is for.
    fn about() -> String;

    /// Takes each field's key.
    fn read(fields: &mut Fields<'_, '_, '_>) -> Self;

    /// The fields' rows of the reference, in order.
    fn keys() -> Vec<Key>;

    /// Where the section stands.
    fn place(&self) -> &Place;
}

/// A row of the reference.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// Sentences; one paragraph.
    pub(crate) about: String,
    pub(crate) shape: Shape,
}

/// What kind of key it is, and what is known about its value.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// Must be there. The example is TOML.
    Required { example: &'static str, inside: Vec<Key> },
    /// May be left out, and then means what `about` says; `shown` where the reference file has it.
    Optional { example: &'static str, shown: bool, inside: Vec<Key> },
    /// May be left out, and then is `value`; within `bounds`.
    Default { value: String, bounds: Option<String> },
    /// A section of its own.
    Section { about: String, keys: Vec<Key> },
    /// Sections named by the operator.
    Named { example: &'static str, about: String, keys: Vec<Key> },
}

/// A table being read: fields take their keys, what is left is unknown.
#[derive(Debug)]
pub(crate) struct Fields<'a, 'r, 's> {
    place: Place,
    table: &'a DeTable<'a>,
    /// Where complaints go.
    pub(crate) reporter: &'r mut Reporter<'s>,
}

impl<'a> Fields<'a, '_, '_> {
    /// Where the table stands.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    /// The value of `name`, if it is there.
    pub(crate) fn take(&self, name: &str) -> Option<Item<'a>> {
        let (_, value) = self.table.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(Item { place: self.place.child(name, value.span()), value: value.get_ref() })
    }

    /// The place of a key that is not there: its table's.
    pub(crate) fn absent(&self, name: &str) -> Place {
        self.place.child(name, self.place.span.clone())
    }
}

/// Reads a whole table and complains of every key nobody took.
pub(crate) fn read_section<T: Section>(place: Place, table: &DeTable<'_>, reporter: &mut Reporter<'_>) -> T {
    let mut fields = Fields { place: place.clone(), table, reporter };
    let section = T::read(&mut fields);
    let known: Vec<&str> = T::keys().iter().map(|key| key.name).collect();
    for key in table.keys() {
        let name = key.get_ref().as_ref();
        if !known.contains(&name) {
            unknown::<T>(&place.child(name, key.span()), name, &known, reporter);
        }
    }
    section
}

/// An empty table at `place`: what a section is when it is left out.
pub(crate) fn left_out<T: Section>(place: Place, reporter: &mut Reporter<'_>) -> T {
    read_section(place, &DeTable::new(), reporter)
}

fn unknown<T: Section>(place: &Place, name: &str, known: &[&str], reporter: &mut Reporter<'_>) {
    let possible = || format!("the keys here are {}", quoted(known));
    if T::LATER.contains(&name) {
        reporter.error(place, "not supported by this version", format!("remove it; {}", possible()));
    } else if let Some(near) = nearest(name, known) {
        reporter.error(place, "unknown key", format!("did you mean `{near}`?"));
    } else {
        reporter.error(place, "unknown key", possible());
    }
}

/// Declares a section: each field with its documentation and its [`Spec`](super::spec::Spec).
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        struct $Section:ident { $( $(#[doc = $doc:literal])+ $name:ident: $type:ty = $spec:expr, )+ }
        $(later $($later:literal),+;)?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(crate) struct $Section {
            place: $crate::config::problem::Place,
            $( $(#[doc = $doc])+ pub(crate) $name: $type, )+
        }

        impl $crate::config::section::Section for $Section {
            const LATER: &'static [&'static str] = &[$($($later),+)?];

            fn about() -> String {
                $crate::config::words::paragraph(&[$($about),+])
            }

            fn read(fields: &mut $crate::config::section::Fields<'_, '_, '_>) -> Self {
                Self {
                    place: fields.place(),
                    $( $name: $crate::config::spec::Spec::read($spec, stringify!($name), fields), )+
                }
            }

            fn keys() -> Vec<$crate::config::section::Key> {
                vec![$( $crate::config::section::Key {
                    name: stringify!($name),
                    about: $crate::config::words::paragraph(&[$($doc),+]),
                    shape: $crate::config::spec::Spec::shape($crate::config::spec::typed::<$type, _>($spec)),
                } ),+]
            }

            fn place(&self) -> &$crate::config::problem::Place {
                &self.place
            }
        }
    };
}
