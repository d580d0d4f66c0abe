//! Text messages: who may sign in by phone, and who sends the codes.

use super::{AuthSettings, Source, invalid};
use crate::api::auth::{PhoneSpec, SmsProvider};
use crate::reason::Problem;

pub fn phone(out: &mut AuthSettings, spec: &PhoneSpec, source: Source<'_>) -> Result<(), Problem> {
    out.option("GOTRUE_EXTERNAL_PHONE_ENABLED", spec.enabled);
    out.option("GOTRUE_SMS_AUTOCONFIRM", spec.autoconfirm);
    out.option("GOTRUE_SMS_OTP_EXP", spec.otp_expiry_seconds);
    out.option("GOTRUE_SMS_OTP_LENGTH", spec.otp_length);
    out.seconds("GOTRUE_SMS_MAX_FREQUENCY", spec.max_frequency_seconds);
    out.option("GOTRUE_SMS_TEMPLATE", spec.template.as_deref());
    let codes: Vec<_> = spec.test_otps.iter().map(|test| format!("{}:{}", test.phone, test.otp)).collect();
    out.set("GOTRUE_SMS_TEST_OTP", codes.join(","));
    out.option("GOTRUE_SMS_TEST_OTP_VALID_UNTIL", spec.test_otps_valid_until.as_ref().map(|time| time.0));
    match (spec.provider, &spec.secret_ref) {
        (None, None) => Ok(()),
        (Some(provider), Some(reference)) => {
            let secret = source.open("spec.auth.phone.secretRef", reference)?;
            let Credentials { name, required, optional } = credentials(provider);
            out.set("GOTRUE_SMS_PROVIDER", name);
            let optional = optional.iter().filter(|(key, _)| secret.data.keys.contains_key(*key));
            for (key, variable) in required.iter().chain(optional) {
                let variable = format!("GOTRUE_SMS_{}_{variable}", name.to_uppercase());
                out.set_secret(&variable, secret.line(key)?);
            }
            Ok(())
        }
        _ => Err(invalid("phone: provider and secretRef belong together; set both or none")),
    }
}

/// What a provider is called, and for each key of the user's Secret the end of its variable's name.
struct Credentials {
    name: &'static str,
    required: &'static [(&'static str, &'static str)],
    optional: &'static [(&'static str, &'static str)],
}

fn credentials(provider: SmsProvider) -> Credentials {
    const TWILIO: &[(&str, &str)] =
        &[("accountSid", "ACCOUNT_SID"), ("authToken", "AUTH_TOKEN"), ("messageServiceSid", "MESSAGE_SERVICE_SID")];
    match provider {
        SmsProvider::Twilio => {
            Credentials { name: "twilio", required: TWILIO, optional: &[("contentSid", "CONTENT_SID")] }
        }
        SmsProvider::TwilioVerify => Credentials { name: "twilio_verify", required: TWILIO, optional: &[] },
        SmsProvider::Messagebird => Credentials {
            name: "messagebird",
            required: &[("accessKey", "ACCESS_KEY"), ("originator", "ORIGINATOR")],
            optional: &[],
        },
        SmsProvider::Textlocal => {
            Credentials { name: "textlocal", required: &[("apiKey", "API_KEY"), ("sender", "SENDER")], optional: &[] }
        }
        SmsProvider::Vonage => Credentials {
            name: "vonage",
            required: &[("apiKey", "API_KEY"), ("apiSecret", "API_SECRET"), ("from", "FROM")],
            optional: &[],
        },
    }
}
