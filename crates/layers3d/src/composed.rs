//! Compositions of candle operations.
