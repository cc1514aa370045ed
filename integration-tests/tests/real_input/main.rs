//! Input that nobody here wrote, read back by software that nobody here wrote.

mod folder;
mod input;
mod services;
