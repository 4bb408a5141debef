//! The kinds of keys: required, optional, with a default, with bounds; sections and named sections.

use std::marker::PhantomData;

use super::item::{At, Item, Value, Written};
use super::problem::Reporter;
use super::section::{Fields, Section, Shape, left_out};

/// How a field is read and described.
pub(crate) trait Spec {
    /// The field's type.
    type Out;

    fn read(self, name: &'static str, fields: &mut Fields<'_, '_, '_>) -> Self::Out;

    fn shape(self) -> Shape;
}

/// Ties a field's spec to the field's type, so that the type need be written once.
pub(crate) fn typed<T, S: Spec<Out = T>>(spec: S) -> S {
    spec
}

/// A key that must be there.
pub(crate) fn required<T>(example: &'static str) -> Required<T> {
    Required { example, of: PhantomData }
}

/// A key that may be left out.
pub(crate) fn optional<T>(example: &'static str) -> Optional<T> {
    Optional { example, shown: false, of: PhantomData }
}

/// A key that may be left out and seldom should be: the reference file has it.
pub(crate) fn advised<T>(example: &'static str) -> Optional<T> {
    Optional { example, shown: true, of: PhantomData }
}

/// A key that has a default.
pub(crate) fn default<T>(value: T) -> Default<T> {
    Default { value }
}

/// A key that has a default and bounds, both ends allowed.
pub(crate) fn bounded<T>(value: T, least: T, most: Option<T>) -> Bounded<T> {
    Bounded { value, least, most }
}

/// A section that is read as if it were empty when it is left out.
pub(crate) fn section<T>() -> Whole<T> {
    Whole { of: PhantomData }
}

/// A section that may be left out.
pub(crate) fn optional_section<T>() -> Part<T> {
    Part { of: PhantomData }
}

/// Sections named by the operator, at least one.
pub(crate) fn named<T>(example: &'static str) -> Named<T> {
    Named { example, of: PhantomData }
}

/// See [`required`].
#[derive(Debug)]
pub(crate) struct Required<T> {
    example: &'static str,
    of: PhantomData<T>,
}

/// See [`optional`].
#[derive(Debug)]
pub(crate) struct Optional<T> {
    example: &'static str,
    shown: bool,
    of: PhantomData<T>,
}

/// See [`default`].
#[derive(Debug)]
pub(crate) struct Default<T> {
    value: T,
}

/// See [`bounded`].
#[derive(Debug)]
pub(crate) struct Bounded<T> {
    value: T,
    least: T,
    most: Option<T>,
}

/// See [`section()`].
#[derive(Debug)]
pub(crate) struct Whole<T> {
    of: PhantomData<T>,
}

/// See [`optional_section`].
#[derive(Debug)]
pub(crate) struct Part<T> {
    of: PhantomData<T>,
}

/// See [`named`].
#[derive(Debug)]
pub(crate) struct Named<T> {
    example: &'static str,
    of: PhantomData<T>,
}

fn read_at<T: Value>(item: Item<'_>, reporter: &mut Reporter<'_>) -> Option<At<T>> {
    let value = T::read(&item, reporter)?;
    Some(At { value, place: item.place })
}

impl<T: Value> Spec for Required<T> {
    type Out = Option<At<T>>;

    fn read(self, name: &'static str, fields: &mut Fields<'_, '_, '_>) -> Self::Out {
        match fields.take(name) {
            Some(item) => read_at(item, fields.reporter),
            None => {
                let place = fields.absent(name);
                let instead = format!("write it, as in `{name} = {}`", self.example);
                fields.reporter.missing(&place, instead);
                None
            }
        }
    }

    fn shape(self) -> Shape {
        Shape::Required { example: self.example, inside: T::inside() }
    }
}

impl<T: Value> Spec for Optional<T> {
    type Out = Option<At<T>>;

    fn read(self, name: &'static str, fields: &mut Fields<'_, '_, '_>) -> Self::Out {
        fields.take(name).and_then(|item| read_at(item, fields.reporter))
    }

    fn shape(self) -> Shape {
        Shape::Optional { example: self.example, shown: self.shown, inside: T::inside() }
    }
}

impl<T: Written> Spec for Default<T> {
    type Out = At<T>;

    fn read(self, name: &'static str, fields: &mut Fields<'_, '_, '_>) -> At<T> {
        let found = fields.take(name).and_then(|item| read_at(item, fields.reporter));
        found.unwrap_or_else(|| At { value: self.value, place: fields.absent(name) })
    }

    fn shape(self) -> Shape {
        Shape::Default { value: self.value.written(), bounds: None }
    }
}

impl<T: Written + PartialOrd + Copy> Spec for Bounded<T> {
    type Out = At<T>;

    fn read(self, name: &'static str, fields: &mut Fields<'_, '_, '_>) -> At<T> {
        let bounds = self.bounds();
        let found = default(self.value).read(name, fields);
        if found.value < self.least || self.most.is_some_and(|most| found.value > most) {
            let what = format!("{} is out of bounds", found.value.written().trim_matches('"'));
            fields.reporter.error(&found.place, what, format!("write {bounds}"));
        }
        found
    }

    fn shape(self) -> Shape {
        Shape::Default { value: self.value.written(), bounds: Some(self.bounds()) }
    }
}

impl<T: Written> Bounded<T> {
    fn bounds(&self) -> String {
        match &self.most {
            Some(most) => format!("`{}` to `{}`", self.least.written(), most.written()),
            None => format!("`{}` or more", self.least.written()),
        }
    }
}

impl<T: Section> Spec for Whole<T> {
    type Out = T;

    fn read(self, name: &'static str, fields: &mut Fields<'_, '_, '_>) -> T {
        let found = fields.take(name).and_then(|item| item.section(fields.reporter));
        found.unwrap_or_else(|| left_out(fields.absent(name), fields.reporter))
    }

    fn shape(self) -> Shape {
        Shape::Section { about: T::about(), keys: T::keys() }
    }
}

impl<T: Section> Spec for Part<T> {
    type Out = Option<T>;

    fn read(self, name: &'static str, fields: &mut Fields<'_, '_, '_>) -> Option<T> {
        fields.take(name).and_then(|item| item.section(fields.reporter))
    }

    fn shape(self) -> Shape {
        Shape::Section { about: T::about(), keys: T::keys() }
    }
}

impl<T: Section> Spec for Named<T> {
    type Out = Vec<(At<String>, T)>;

    fn read(self, name: &'static str, fields: &mut Fields<'_, '_, '_>) -> Self::Out {
        let Some(item) = fields.take(name) else {
            let place = fields.absent(name);
            fields.reporter.missing(&place, self.at_least_one(name));
            return Vec::new();
        };
        let Some(table) = item.value.as_table() else {
            item.wrong("a table", fields.reporter);
            return Vec::new();
        };
        if table.is_empty() {
            fields.reporter.missing(&item.place, self.at_least_one(name));
        }
        let mut all = Vec::new();
        for (key, value) in table.iter() {
            let place = item.place.child(key.get_ref(), value.span());
            let one = Item { place: place.clone(), value: value.get_ref() };
            if let Some(section) = one.section(fields.reporter) {
                all.push((At { value: key.get_ref().clone().into_owned(), place }, section));
            }
        }
        // As they stand in the file: the first mistake is then the topmost, and lists read as they were written.
        all.sort_by_key(|(name, _)| name.place.span.start);
        all
    }

    fn shape(self) -> Shape {
        Shape::Named { example: self.example, about: T::about(), keys: T::keys() }
    }
}

impl<T> Named<T> {
    fn at_least_one(&self, name: &str) -> String {
        format!("write at least one, as in `[{name}.{}]`", self.example)
    }
}
