mod capability;
mod credit;
mod frames;
mod from_relay;
mod host;
mod ids;
mod invite;
mod token;
