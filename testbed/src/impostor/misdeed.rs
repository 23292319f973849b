use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

/// How much an endless speaker hands over at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// What is done to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misdeed {
    /// It is read from, and hears nothing.
    Silence,
    /// It hears this and nothing else; the connection stays.
    Say(Vec<u8>),
    /// It hears this, then the connection ends.
    SayAndClose(Vec<u8>),
    /// It hears this over and over, as fast as it listens.
    Repeat(Vec<u8>),
    /// It hears the first once, then the second over and over.
    SayAndRepeat(Vec<u8>, Vec<u8>),
}

impl Misdeed {
    /// Does it, until the client hangs up.
    ///
    /// # Errors
    /// When the client hangs up.
    pub fn commit(&self, mut stream: TcpStream) -> io::Result<()> {
        match self {
            Self::Silence => {}
            Self::Say(words) => stream.write_all(words)?,
            Self::SayAndClose(words) => {
                stream.write_all(words)?;
                stream.shutdown(Shutdown::Write)?;
            }
            Self::Repeat(words) => return repeat(&mut stream, words),
            Self::SayAndRepeat(first, words) => {
                stream.write_all(first)?;
                return repeat(&mut stream, words);
            }
        }
        let mut ignored = [0; 4096];
        while stream.read(&mut ignored)? > 0 {}
        Ok(())
    }
}

fn repeat(stream: &mut TcpStream, words: &[u8]) -> io::Result<()> {
    let block = words.repeat(BLOCK_BYTES.div_ceil(words.len().max(1)));
    loop {
        stream.write_all(&block)?;
    }
}
