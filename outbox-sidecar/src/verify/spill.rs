use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::record::Record;

/// Over so many buckets records are spread: what belongs together is in one of them.
pub(super) const BUCKETS: usize = 256;
/// What is gathered of a bucket before it is written: for all buckets 2 MiB.
const BLOCK_BYTES: usize = 8 * 1024;
/// So much room is left of a block that the next record finds place.
const RECORD_BYTES_MAX: usize = 256;

/// Records in a temporary file, spread over buckets by a hash; within a bucket in the order in which
/// they came. The file has no name: it is gone with the process, however that ends.
#[derive(Debug)]
pub(super) struct Spill<R> {
    file: File,
    end: u64,
    buckets: Vec<Bucket>,
    records: u64,
    _records: PhantomData<R>,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    /// Not written yet.
    buffer: Vec<u8>,
    blocks: Vec<Block>,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    offset: u64,
    bytes: u32,
}

impl<R: Record> Spill<R> {
    /// An empty one, its file in this directory.
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile_in(directory)?,
            end: 0,
            buckets: vec![Bucket::default(); BUCKETS],
            records: 0,
            _records: PhantomData,
        })
    }

    /// The bucket of a hash.
    pub(super) fn bucket_of(hash: u64) -> usize {
        // The high bits: the low ones choose the pass.
        usize::try_from(hash >> 56).unwrap_or_default() % BUCKETS
    }

    /// Puts a record into the bucket of this hash.
    pub(super) fn push(&mut self, hash: u64, record: &R) -> io::Result<()> {
        let Some(bucket) = self.buckets.get_mut(Self::bucket_of(hash)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if bucket.buffer.capacity() == 0 {
            bucket.buffer.reserve_exact(BLOCK_BYTES);
        }
        let before = bucket.buffer.len();
        record.write(&mut bucket.buffer);
        bucket.bytes += (bucket.buffer.len() - before) as u64;
        self.records += 1;
        if bucket.buffer.len() + RECORD_BYTES_MAX > BLOCK_BYTES {
            bucket.flush(&self.file, &mut self.end)?;
        }
        Ok(())
    }

    /// Nothing more will come: what is still in memory is written, and the memory given back.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        for bucket in &mut self.buckets {
            bucket.flush(&self.file, &mut self.end)?;
            bucket.buffer = Vec::new();
        }
        Ok(())
    }

    /// How many records it holds.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// How much a bucket takes in the file.
    pub(super) fn bytes(&self, bucket: usize) -> u64 {
        self.buckets.get(bucket).map_or(0, |bucket| bucket.bytes)
    }

    /// Hands over the records of a bucket, in the order in which they came. To be called once
    /// finished.
    pub(super) fn each<E: From<io::Error>>(
        &self,
        bucket: usize,
        mut each: impl FnMut(R) -> Result<(), E>,
    ) -> Result<(), E> {
        let blocks = self.buckets.get(bucket).map(|bucket| bucket.blocks.iter());
        let mut buffer = Vec::new();
        for block in blocks.into_iter().flatten() {
            buffer.resize(usize::try_from(block.bytes).unwrap_or_default(), 0);
            self.file.read_exact_at(&mut buffer, block.offset)?;
            let mut from = buffer.as_slice();
            while !from.is_empty() {
                let record = R::read(&mut from);
                each(record.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?)?;
            }
        }
        Ok(())
    }
}

impl Bucket {
    fn flush(&mut self, file: &File, end: &mut u64) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = u32::try_from(self.buffer.len())
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        file.write_all_at(&self.buffer, *end)?;
        self.blocks.push(Block {
            offset: *end,
            bytes,
        });
        *end += u64::from(bytes);
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use outbox_core::{Lsn, Position};

    use super::*;

    #[test]
    fn records_come_back_by_bucket_and_in_order() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut spill: Spill<Position> = Spill::new(&std::env::temp_dir()).unwrap();
        let mut expected = vec![Vec::new(); BUCKETS];
        for index in 0..random.u32(0..200_000) {
            let hash = random.u64(..);
            let record = Position {
                commit_lsn: Lsn::new(hash),
                index,
            };
            spill.push(hash, &record).unwrap();
            expected[Spill::<Position>::bucket_of(hash)].push(record);
        }
        spill.finish().unwrap();
        let mut records = 0;
        for (bucket, expected) in expected.iter().enumerate() {
            let mut found = Vec::new();
            let keep = |record| {
                found.push(record);
                Ok::<_, io::Error>(())
            };
            spill.each(bucket, keep).unwrap();
            assert_eq!(&found, expected, "bucket {bucket}");
            assert_eq!(spill.bytes(bucket), 12 * found.len() as u64);
            records += found.len() as u64;
        }
        assert_eq!(spill.records(), records);
    }
}
