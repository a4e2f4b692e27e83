//! Labelled images as a training step takes them, in host memory and on a device.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Labelled images on a device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch, channels, height, width]`, normalised.
    pub images: Tensor<4>,
    /// `[batch]`, class numbers.
    pub labels: Tensor<1, Int>,
    /// The images' numbers in the source.
    pub indices: Vec<usize>,
    /// The epoch.
    pub epoch: usize,
    /// With an index, it names one augmented view of an image.
    pub view: usize,
    /// CRC-32 of each prepared image before whitening, by which its view is known again; empty
    /// where no view comes twice.
    pub checksums: Vec<u32>,
    /// The batch's number in its epoch.
    pub number: usize,
}

/// Labelled images in host memory, before whitening; the fields are those of [`Batch`].
#[derive(Clone, Debug, PartialEq)]
pub struct HostBatch {
    /// `[batch, channels, height, width]`, normalised.
    pub images: Vec<f32>,
    /// `[batch, channels, height, width]`.
    pub shape: [usize; 4],
    /// `[batch]`, class numbers.
    pub labels: Vec<i64>,
    /// The images' numbers in the source.
    pub indices: Vec<usize>,
    /// The epoch.
    pub epoch: usize,
    /// Which of an image's augmented views.
    pub view: usize,
    /// `[batch]`, CRC-32 of each image, or nothing.
    pub checksums: Vec<u32>,
    /// The batch's number in its epoch.
    pub number: usize,
}

impl HostBatch {
    /// The batch as tensors on `device`.
    pub fn to_device(self, device: &Device) -> Batch {
        let count = self.labels.len();
        Batch {
            images: Tensor::from_data(TensorData::new(self.images, self.shape), device),
            labels: Tensor::from_data(TensorData::new(self.labels, [count]), device),
            indices: self.indices,
            epoch: self.epoch,
            view: self.view,
            checksums: self.checksums,
            number: self.number,
        }
    }
}
