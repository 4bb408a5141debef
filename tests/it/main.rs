//! The whole gateway in one process, and the rules of the house.

mod tidy;
