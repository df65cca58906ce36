mod capability;
mod credit;
mod frames;
mod host;
mod ids;
mod invite;
mod token;
