//! Telegram's list names other addresses.

use super::*;

impl House {
    /// Puts this list in the place of the one that the directory has.
    fn list(&self, addresses: &[SocketAddr]) {
        let mut list = String::from("default 2;\n");
        for address in addresses {
            list += &format!("proxy_for 2 {address};\n");
        }
        self.telegram.shared.directory.take_config(&list);
    }

    fn ports(&self) -> Vec<u16> {
        let connections = self.fake.connections();
        let mut ports: Vec<_> = connections.iter().map(|one| one.local.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

#[test]
fn connections_follow_telegram_and_lose_nobody() {
    House::run_at(2, &[("--dc-connections", "2")], |house| async move {
        let all = house.fake.middle_addresses(2);
        let [before, after] = [all[0], all[1]];
        house.list(&[before]);
        house.telegram.warm_up();
        house.connected(2).await;
        assert_eq!(house.ports(), [before.port()]);
        let mut sessions = Vec::new();
        for label in 0..20 {
            let session = house.open().await;
            house.echo(&session, &payload::echo(label, 48)).await;
            sessions.push(session);
        }
        // A list that leads nowhere: nobody is moved.
        house.list(&[SocketAddr::from(([127, 0, 0, 1], 1))]);
        let failed = || house.metrics.connect_failures.total() > 0;
        house.until("the new address is tried", failed).await;
        let newcomer = house.open().await;
        house.echo(&newcomer, &payload::echo(7, 48)).await;
        sessions.push(newcomer);
        assert_eq!(house.ports(), [before.port()]);

        house.list(&[after]);
        let took = house
            .until("all have moved", || house.ports() == [after.port()])
            .await;
        println!("all have moved after {took:?}");
        for session in &sessions {
            house.echo(session, &payload::echo(9, 64)).await;
            assert_eq!(session.sink.ended.get(), None);
        }
    });
}
