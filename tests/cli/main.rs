//! The program as people run it: arguments in, text and exit code out.

#[path = "../support/canary.rs"]
mod canary;
mod check;
mod demo;
mod loaded;
mod material;
mod verbs;
