use std::io;
use std::time::Duration;

use super::Telegram;
use super::routes::question;
use crate::config::RouteName;
use crate::metrics::RouteResult;
use crate::wire::dc::DcId;
use crate::wire::key_exchange::Answer;

/// For a connection to the DC.
const LIMIT: Duration = Duration::from_secs(10);

/// From the question on.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How a route to a DC fared.
pub(crate) struct Fared {
    /// By what it leads there, where tries are told of.
    #[cfg(feature = "check")]
    pub(crate) place: Option<String>,
    /// How long it took until Telegram had answered, or why it has not.
    pub(crate) answered: Result<Duration, String>,
}

impl Telegram {
    /// Connects to `dc` by `route` as for a client, and asks for the first answer of a key
    /// exchange, which nobody else can give; 15 s at most.
    pub(crate) async fn ask(&self, dc: DcId, route: RouteName) -> Fared {
        let shared = &self.shared;
        let request = question::request(shared, dc);
        let began = shared.reactor.now();
        let opened = self.routes.try_one(route, &request, began + LIMIT).await;
        #[cfg(feature = "check")]
        let told = shared.told.as_ref();
        let answered = match opened {
            Ok(line) => {
                let asking = question::ask(shared, line, request.to_client.clone());
                let asked = shared.reactor.timeout(ANSWER_LIMIT, asking).await;
                asked.map_or_else(|| Err(silence()), judge)
            }
            Err(error) => Err(match error.result() {
                None => "it does not lead to this DC".to_owned(),
                #[cfg(feature = "check")]
                Some(why) => {
                    let failure = told.and_then(|told| told.failure(dc, why));
                    failure.unwrap_or_else(|| in_words(why))
                }
                #[cfg(not(feature = "check"))]
                Some(why) => in_words(why),
            }),
        };
        Fared {
            #[cfg(feature = "check")]
            place: told.and_then(|told| told.place(dc)),
            answered: answered.map(|()| shared.reactor.now() - began),
        }
    }
}

/// What came of the question, in words if it is not right.
fn judge(asked: io::Result<Option<Answer>>) -> Result<(), String> {
    match asked {
        Ok(Some(Answer::Right)) => Ok(()),
        Ok(Some(Answer::Refused(code))) => Err(format!(
            "it connects, and Telegram refuses by error {code}; is this machine's clock right?"
        )),
        Ok(Some(Answer::Other)) => {
            Err("it connects, and who answers is not Telegram: something is in between".to_owned())
        }
        Ok(None) => Err("it connects, and closes without an answer".to_owned()),
        Err(error) => Err(format!("the connection breaks: {error}")),
    }
}

fn silence() -> String {
    format!(
        "it connects, and no answer of Telegram's comes within {} s: something on the way swallows \
         it",
        ANSWER_LIMIT.as_secs()
    )
}

fn in_words(why: RouteResult) -> String {
    match why {
        RouteResult::CutShort => format!("no connection within {} s", LIMIT.as_secs()),
        why => why.to_string(),
    }
}
