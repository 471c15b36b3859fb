#include "batch_output.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "answer_report.h"
#include "output.h"

namespace qvl::cli {
namespace {

std::string hex(uint64_t value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; value >>= 4) text[i] = digits[value & 15];
  return text;
}

FileDescriptor open_to_append(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (file.get() < 0) {
    throw Error(ErrorCode::environment, path + ": cannot open: " + std::strerror(errno));
  }
  // Two batches would mix their lines.
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw Error(ErrorCode::environment, path + ": another process is writing it");
  }
  return file;
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Error no_answer(const std::string& place) {
  return {ErrorCode::usage, place + "is no answer of a batch; remove the file, or give another --output"};
}

// The code of an answer that is an error.
std::optional<int> failure_of(const Json& answer) {
  if (!answer.contains("error")) return std::nullopt;
  return answer.at("error").at("code").get<int>();
}

}  // namespace

// Every answer begins so.
Json answer_head(const TextLine& line) { return {{"line", line.number}, {"hash", hex(line.fingerprint)}}; }

namespace {

// Whether a kill, or a full disk, may have left this of an answer: it can be cut at any byte.
bool is_part_of_answer(const TextLine& line) {
  constexpr std::string_view kStart = R"({"line":)";
  return line.length == TextLine::Length::whole &&
         (line.text.starts_with(kStart) || kStart.starts_with(line.text));
}

}  // namespace

BatchOutput::BatchOutput(const std::string& path)
    : name_(path.empty() ? "standard output" : path),
      file_(path.empty() ? FileDescriptor() : open_to_append(path)) {}

EarlierAnswers BatchOutput::resume(LineReader& batch, const std::string& batch_name) {
  EarlierAnswers earlier;
  struct stat own = {}, asked = {};
  if (file_.get() < 0 || ::fstat(file_.get(), &own) != 0 || !S_ISREG(own.st_mode)) return earlier;
  if (::fstat(batch.fd(), &asked) == 0 && same_file(own, asked)) {
    throw Error(ErrorCode::usage, name_ + ": is the batch itself, expected another file for the answers");
  }
  LineReader answers(open_to_read(name_), name_, kMaxTextBytes);
  std::optional<uint64_t> unfinished;  // where it begins
  while (const auto answer = answers.next()) {
    const std::string place = name_ + ": line " + std::to_string(answer->number) + ": ";
    if (answer->end == TextLine::End::file) {
      if (!is_part_of_answer(*answer)) throw no_answer(place);
      unfinished = answer->offset;  // that run was ended while it wrote this
      break;
    }
    try {
      const Json json = Json::parse(answer->text);
      const auto line = batch.next();
      if (!line)
        throw Error(ErrorCode::usage, place + "one answer more than " + batch_name + " has requests");
      const Json expected = answer_head(*line);
      if (json.at("line") != expected["line"] || json.at("hash") != expected["hash"]) {
        throw Error(ErrorCode::usage, place + "is no answer to line " + std::to_string(line->number) +
                                          " of " + batch_name +
                                          "; remove the file, or give another --output");
      }
      const auto failure = failure_of(json);
      earlier.failed += failure ? 1 : 0;
      if (failure && !earlier.first_failure) earlier.first_failure = failure;
    } catch (const Json::exception&) {
      throw no_answer(place);
    }
    ++earlier.answered;
  }
  if (unfinished && ::ftruncate(file_.get(), static_cast<off_t>(*unfinished)) != 0) {
    throw Error(ErrorCode::environment, name_ + ": cannot cut off its last line: " + std::strerror(errno));
  }
  return earlier;
}

void BatchOutput::write(const Json& answer) {
  write_text(file_.get() < 0 ? STDOUT_FILENO : file_.get(), name_, to_line(answer));
}

}  // namespace qvl::cli
