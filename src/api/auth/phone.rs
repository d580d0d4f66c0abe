use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::SecretRef;

/// Sign-in with a phone number, and the text messages that Auth sends.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = kube::core::Rule::new("has(self.provider) == has(self.secretRef)").message("phone.provider and phone.secretRef belong together: who sends the messages, and the credentials for it"),
    validation = kube::core::Rule::new("!has(self.template) || (has(self.provider) && self.provider != 'twilioVerify')").message("phone.template needs a phone.provider other than twilioVerify, which writes its messages itself"),
    validation = kube::core::Rule::new("!has(self.testOtpsValidUntil) || has(self.testOtps)").message("phone.testOtpsValidUntil needs phone.testOtps")
)]
pub struct PhoneSpec {
    /// Allow sign-up and sign-in with a phone number. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Take every number as confirmed, without a message. Default: false. With true anybody can sign up with the number
    /// of somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoconfirm: Option<bool>,

    /// Who sends the messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<SmsProvider>,

    /// Secret in the project's namespace with the provider's credentials. Its keys are, for `twilio`: `accountSid`,
    /// `authToken`, `messageServiceSid` and, for `WhatsApp`, optionally `contentSid`; `twilioVerify`: `accountSid`,
    /// `authToken`, `messageServiceSid`; `messagebird`: `accessKey`, `originator`; `textlocal`: `apiKey`, `sender`;
    /// `vonage`: `apiKey`, `apiSecret`, `from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// How long a code is valid, in seconds. Default: 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub otp_expiry_seconds: Option<i32>,

    /// Digits of a code. Default: 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 6, max = 10))]
    pub otp_length: Option<i32>,

    /// Time that must pass between two messages to the same number, in seconds. Default: 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub max_frequency_seconds: Option<i32>,

    /// Text of a message, with `{{ .Code }}` where the code goes. Default: `Your code is {{ .Code }}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = kube::core::Rule::new("self.contains('.Code')").message("phone.template must contain {{ .Code }}, where the code goes"))]
    pub template: Option<String>,

    /// Numbers with a fixed code, to which no message is sent. For tests: whoever knows one can sign in with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["phone".into()]))]
    pub test_otps: Vec<TestOtp>,

    /// When the fixed codes of `testOtps` end. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_otps_valid_until: Option<Time>,
}

/// A number with a fixed code.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TestOtp {
    /// Phone number with its country code, digits only, for example `4915112345678`.
    #[schemars(length(min = 5, max = 15))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^[0-9]+$')").message("a phone number of testOtps is digits only, with the country code and without +"))]
    pub phone: String,

    /// The code that this number signs in with.
    #[schemars(length(min = 6, max = 10))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^[0-9]+$')").message("a code of testOtps is digits only"))]
    pub otp: String,
}

/// Who sends text messages.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum SmsProvider {
    Twilio,
    TwilioVerify,
    Messagebird,
    Textlocal,
    Vonage,
}
