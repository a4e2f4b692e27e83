//! Arrays by their names in one file: NumPy's `.npz`, a zip archive of `.npy` files.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use burn::tensor::TensorData;
use half::f16;
use npyz::npz::{array_name_from_file_name, file_name_from_array_name};
use npyz::{AutoSerialize, WriteOptions, WriterBuilder};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

pub use npyz::{NpyFile, Order};

/// An archive to read; its arrays may be stored or deflated, as `np.savez` and
/// `np.savez_compressed` leave them.
#[derive(Debug)]
pub struct NpzReader<R>(ZipArchive<R>);

impl NpzReader<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// A file that cannot be read or is no archive.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::new(BufReader::new(File::open(path)?))
    }
}

impl<R: Read + Seek> NpzReader<R> {
    /// Reads the archive's list of arrays.
    ///
    /// # Errors
    /// What is no archive.
    pub fn new(reader: R) -> io::Result<Self> {
        Ok(Self(ZipArchive::new(reader)?))
    }

    /// The names of the arrays, in the file's order.
    pub fn names(&self) -> Vec<String> {
        let names = self.0.file_names().filter_map(Result::ok);
        names
            .filter_map(|name| array_name_from_file_name(&name).map(str::to_owned))
            .collect()
    }

    /// An array by its name; `None` where the archive has none of that name.
    ///
    /// # Errors
    /// A damaged entry, a compression other than NumPy's, a header that is not NumPy's.
    pub fn array(&mut self, name: &str) -> io::Result<Option<NpyFile<impl Read + '_>>> {
        match self.0.index_for_name(&file_name_from_array_name(name)) {
            Some(index) => Ok(Some(NpyFile::new(self.0.by_index(index)?)?)),
            None => Ok(None),
        }
    }
}

/// The elements of an array of floats, integers or booleans, in C order whatever the file's; `None`
/// for another type.
///
/// # Errors
/// A damaged array.
pub fn elements<R: Read>(array: NpyFile<R>) -> io::Result<Option<TensorData>> {
    macro_rules! try_types {
        ($array:ident, $shape:ident, $order:ident: $($type:ty),*) => {$(
            let $array = match $array.try_data::<$type>() {
                Ok(data) => {
                    let elements = data.collect::<io::Result<Vec<$type>>>()?;
                    return Ok(Some(TensorData::new(in_c_order(elements, &$shape, $order), $shape)));
                }
                Err(array) => array,
            };
        )*};
    }
    let shape: Vec<usize> = array.shape().iter().map(|extent| *extent as usize).collect();
    let order = array.order();
    try_types!(array, shape, order: f32, f64, f16, i64, i32, i16, i8, u64, u32, u16, u8, bool);
    drop(array);
    Ok(None)
}

fn in_c_order<T: Copy>(elements: Vec<T>, shape: &[usize], order: Order) -> Vec<T> {
    if order == Order::C || shape.len() < 2 {
        return elements;
    }
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for extent in shape {
        strides.push(stride);
        stride *= extent;
    }
    let place = |mut index: usize| {
        let mut at = 0;
        for (extent, stride) in shape.iter().zip(&strides).rev() {
            at += index % extent * stride;
            index /= extent;
        }
        at
    };
    (0..elements.len()).map(|index| elements[place(index)]).collect()
}

/// An archive to write, its arrays stored as `np.savez` stores them.
#[derive(Debug)]
pub struct NpzWriter<W: Write + Seek>(ZipWriter<W>);

impl<W: Write + Seek> NpzWriter<W> {
    /// An archive without arrays.
    pub fn new(writer: W) -> Self {
        Self(ZipWriter::new(writer))
    }

    /// Appends an array, its elements in C order.
    ///
    /// # Errors
    /// A name that is taken, a number of elements that is not the shape's, what the writer refuses.
    pub fn write<T: AutoSerialize>(
        &mut self,
        name: &str,
        shape: &[usize],
        elements: impl IntoIterator<Item = T>,
    ) -> io::Result<()> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        // An entry of 4 GiB and more needs the larger form of the archive's fields.
        let large = shape.iter().product::<usize>() >= 1 << 28;
        self.0
            .start_file(file_name_from_array_name(name), options.large_file(large))?;
        let shape: Vec<u64> = shape.iter().map(|extent| *extent as u64).collect();
        let array = WriteOptions::new().default_dtype().shape(&shape);
        let mut array = array.writer(&mut self.0).begin_nd()?;
        array.extend(elements)?;
        array.finish()
    }

    /// Writes the list of arrays and gives the writer back.
    ///
    /// # Errors
    /// What the writer refuses.
    pub fn finish(self) -> io::Result<W> {
        Ok(self.0.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn arrays_come_back_by_name_with_shape_and_type() {
        let mut writer = NpzWriter::new(Cursor::new(Vec::new()));
        writer.write("a/b", &[2, 3], (0..6).map(|n| n as f32)).unwrap();
        writer.write("flags", &[2], [true, false]).unwrap();
        writer.write("scalar", &[], [7_i64]).unwrap();
        let archive = writer.finish().unwrap();
        let mut reader = NpzReader::new(archive).unwrap();
        assert_eq!(reader.names(), ["a/b", "flags", "scalar"]);
        assert!(reader.array("b").unwrap().is_none());
        let array = reader.array("a/b").unwrap().unwrap();
        assert_eq!(array.shape(), [2, 3]);
        assert_eq!(array.into_vec::<f32>().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let array = reader.array("scalar").unwrap().unwrap();
        assert_eq!(
            (array.shape(), array.dtype().descr().as_str()),
            (&[][..], "'<i8'")
        );
    }

    #[test]
    fn a_wrong_number_of_elements_and_a_taken_name_are_refused() {
        let mut writer = NpzWriter::new(Cursor::new(Vec::new()));
        assert!(writer.write("a", &[2], [1.0_f32]).is_err());
        let mut writer = NpzWriter::new(Cursor::new(Vec::new()));
        writer.write("a", &[1], [1.0_f32]).unwrap();
        assert!(writer.write("a", &[1], [1.0_f32]).is_err());
    }
}
