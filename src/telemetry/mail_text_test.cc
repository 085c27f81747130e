#include "telemetry/mail_text.h"

#include <gtest/gtest.h>

#include "base/base64.h"
#include "base/strings.h"
#include "telemetry/smtp_client.h"

namespace leadsman {
namespace {

using Notice = std::shared_ptr<const AlarmNotice>;

Notice Burning(const std::string& model, AlarmState to = AlarmState::kFiring) {
  Alarm alarm;
  alarm.id = 1'700'000'000'001;
  alarm.state = to;
  alarm.firings = 1;
  alarm.fired = FromUnixMillis(1'700'000'000'000);
  alarm.resolved = FromUnixMillis(1'700'000'300'000);
  alarm.finding.subject = {AlarmKind::kErrorBurn, model, 3, ""};
  alarm.finding.severity = AlarmSeverity::kPage;
  alarm.finding.summary = "200 of 400 answers failed";
  alarm.finding.evidence = 20;
  alarm.finding.threshold = 14.4;
  alarm.finding.details = {{"objective", "99 %"}};
  return std::make_shared<const AlarmNotice>(
      MakeNotice({alarm, AlarmState::kPending, to, true}, FromUnixMillis(1'700'000'000'000)));
}

const MailFrame kFrame{"leadsman@example.org", {"a@example.org", "b@example.org"}, "http://l/"};

std::string Mail(const std::vector<Notice>& notices) {
  return AlarmMail(notices, kFrame, FromUnixMillis(1'700'000'060'000));
}

bool Has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(MailTextTest, SaysWhatFiresAndWhatToDo) {
  const std::string mail = Mail({Burning("digits")});
  for (const char* part :
       {"From: Leadsman <leadsman@example.org>\r\n", "To: <a@example.org>,\r\n <b@example.org>\r\n",
        "Subject: [Leadsman] FIRING: error_burn of digits 3 (page)\r\n",
        "Date: Tue, 14 Nov 2023 22:14:20 +0000\r\n",
        "Message-ID: <1700000000001-1-firing-page.1@example.org>\r\n",
        "\r\n\r\nFIRING: error_burn of digits 3 (page)\r\n200 of 400 answers failed\r\n",
        "evidence   20\r\nthreshold  14.4\r\n", "objective: 99 %\r\n",
        "What to do: ", "\r\nhttp://l/1700000000001\r\n"})
    EXPECT_TRUE(Has(mail, part)) << part << "\n" << mail;
  const std::string ended = Mail({Burning("digits", AlarmState::kResolved)});
  EXPECT_TRUE(Has(ended, "Subject: [Leadsman] RESOLVED: ")) << ended;
  EXPECT_TRUE(Has(ended, "ended      2023-11-14T22:18:20.000Z")) << ended;
  EXPECT_FALSE(Has(ended, "What to do")) << ended;
  for (const AlarmKind kind : {AlarmKind::kErrorBurn, AlarmKind::kQuality, AlarmKind::kCaptureLoss})
    EXPECT_FALSE(Advice(kind).empty()) << AlarmKindName(kind);
}

TEST(MailTextTest, NewsAreTold) {
  AlarmNotice notice;
  notice.delivery = "rollout-3-1-promoted-9";
  notice.at = FromUnixMillis(1'700'000'000'000);
  notice.news.emplace();
  notice.news->headline = "PROMOTED: rollout 3 of digits, version 1 to 2";
  notice.news->summary = "promoted: errors: none";
  notice.news->thread = "rollout-3-1";
  notice.news->details = {{"step", "2 of 2"}};
  const Notice news = std::make_shared<const AlarmNotice>(notice);
  const std::string mail = Mail({news});
  for (const char* part :
       {"Subject: [Leadsman] PROMOTED: rollout 3 of digits, version 1 to 2\r\n",
        "References: <rollout-3-1@example.org>\r\n", "promoted: errors: none\r\n",
        "step: 2 of 2\r\n", "at: 2023-11-14T22:13:20.000Z\r\n", "delivery rollout-3-1-promoted-9"})
    EXPECT_TRUE(Has(mail, part)) << part << "\n" << mail;
  EXPECT_FALSE(Has(mail, "error_burn"));
  EXPECT_TRUE(Has(Mail({news, Burning("digits")}),
                  "Subject: [Leadsman] 2 notices; first: PROMOTED: rollout 3 of digits"));
}

TEST(MailTextTest, ManyAreOneMail) {
  const std::string mail = Mail({Burning("a"), Burning("b"), Burning("c", AlarmState::kResolved)});
  EXPECT_TRUE(Has(mail, "Subject: [Leadsman] 2 alarms fire, 1 has ended; first: FIRING: ")) << mail;
  EXPECT_TRUE(Has(mail, "error_burn of b 3 (page)\r\n")) << mail;
}

TEST(MailTextTest, NoTextAddsAHeader) {
  const std::string mail = Mail({Burning("x\r\nBcc: evil@example.org\r\n\r\n.\r\nQUIT")});
  const std::string head = mail.substr(0, mail.find("\r\n\r\n"));
  EXPECT_FALSE(Has(head, "\nBcc:")) << head;
  EXPECT_FALSE(Has(mail, "\r\n.\r\n")) << mail;
  for (char c : mail) ASSERT_TRUE((c >= ' ' && c <= '~') || c == '\r' || c == '\n') << int{c};
  for (std::string_view line : Split(mail, '\n')) EXPECT_LE(line.size(), 200u) << line;
}

TEST(MailTextTest, OtherLettersAreEncoded) {
  EXPECT_EQ(HeaderText("plain text"), "plain text");
  const std::string encoded = HeaderText("Zähler größer als üblich, und das seit längerem schon");
  std::string decoded;
  for (std::string_view word : Split(encoded, '\n')) {
    word = Trim(word);
    ASSERT_TRUE(word.starts_with("=?utf-8?B?") && word.ends_with("?=")) << word;
    EXPECT_LE(word.size(), 75u);
    std::string part;
    ASSERT_TRUE(DecodeBase64(word.substr(10, word.size() - 12), part));
    decoded += part;
  }
  EXPECT_EQ(decoded, "Zähler größer als üblich, und das seit längerem schon");
  EXPECT_EQ(HeaderText("\xff"), "=?utf-8?B?77+9?=");
  EXPECT_EQ(QuotedPrintable("a=ü \n.b"), "a=3D=C3=BC=20\r\n=2Eb");
  EXPECT_EQ(QuotedPrintable(std::string(80, 'x')),
            std::string(75, 'x') + "=\r\n" + std::string(5, 'x'));
}

TEST(MailAddressTest, HoldsNothingThatCouldBeACommand) {
  for (const char* good : {"a@b", "first.last+tag@mail.example.org"})
    EXPECT_TRUE(IsMailAddress(good)) << good;
  for (const char* bad : {"", "a", "@b", "a@", "a b@c", "a@b c", "a@b>", "<a@b", "a@b\r\n", "a@b@c",
                          "\"a\"@b", "a@b,c@d"})
    EXPECT_FALSE(IsMailAddress(bad)) << bad;
}

}  // namespace
}  // namespace leadsman
