mod accept;
mod frames;
mod from_client;
mod upgrade;
