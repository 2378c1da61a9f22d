//! Messages on the wire: prost's codec, with a clear status for bytes that are no message.

use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstCodec;
use tonic_prost::prost::Message;

use crate::google::rpc::bad_request::FieldViolation;
use crate::status::{ErrorKind, Failure};

/// [`ProstCodec`], but bytes that cannot be decoded are the sender's fault: `INVALID_ARGUMENT` instead of `INTERNAL`.
#[derive(Clone, Debug)]
pub struct WireCodec<T, U>(ProstCodec<T, U>);

impl<T, U> Default for WireCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for WireCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = WireDecoder<<ProstCodec<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        WireDecoder(ProstCodec::<T, U>::raw_decoder(buffers()))
    }
}

/// Most messages are events and receipts of some hundred bytes; larger ones make the buffer grow.
fn buffers() -> BufferSettings {
    const MESSAGE: usize = 512;
    const YIELD_AT: usize = 32 << 10;
    BufferSettings::new(MESSAGE, YIELD_AT)
}

/// The decoder of [`WireCodec`].
#[derive(Clone, Debug)]
pub struct WireDecoder<D>(D);

impl<D: Decoder<Error = Status>> Decoder for WireDecoder<D> {
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        self.0.decode(buffer).map_err(|status| {
            let description = status.message().to_owned();
            let violation = FieldViolation { field: String::new(), description, reason: "MALFORMED".into() };
            Failure::new(ErrorKind::Invalid, status.message()).with_violations(vec![violation]).into()
        })
    }
}
