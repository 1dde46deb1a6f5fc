//! The tasks: one file each, from data to a trained model and back.

pub mod language_model;

pub mod checkpoint;
