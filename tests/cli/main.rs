//! The program as people run it: arguments in, text and exit code out.

mod check;
mod demo;
mod loaded;
mod material;
mod verbs;
