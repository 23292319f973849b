mod decoding;
mod hostile;
mod messages;
