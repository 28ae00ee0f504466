//! small words shared by commands
