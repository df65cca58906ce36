use super::Control;
use super::form::Form;
use super::problem::Problem;
use super::reply::{Answer, Reply};
use super::request::Request;

impl Control {
    pub(crate) async fn reply(&self, request: Result<Request, Problem>, form: Form) -> Reply {
        let outcome = match request {
            Ok(request) => self.answer(request, form).await,
            Err(problem) => Err(problem),
        };
        Reply::new(outcome, form).await
    }

    async fn answer(&self, request: Request, form: Form) -> Result<Answer, Problem> {
        Ok(match request {
            Request::Status => Answer::Status(Box::new(self.status())),
            Request::Figures => self.figures(),
            Request::History => self.history(),
            Request::Secrets => Answer::List(self.secrets().await),
            Request::Clients(which) => Answer::List(self.clients(&which).await?),
            Request::Dcs => Answer::List(self.dcs()),
            Request::Links => Answer::List(self.links()?),
            Request::Routes => Answer::List(self.routes()?),
            Request::Tables => Answer::List(self.tables()),
            Request::Table(name) => self.table(&name, form).await?,
            Request::Enter { table, entry } => self.enter(&table, &entry)?,
            Request::Remove { table, entry } => self.remove(&table, &entry)?,
            Request::Save(name) => self.save(&name).await?,
            Request::Users => Answer::List(self.users().await?),
            Request::User(name) => self.user(&name, form).await?,
            Request::ChangeUser(wish) => self.change_user(wish, form).await?,
        })
    }
}
