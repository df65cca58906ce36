mod greeting;
mod packets;
