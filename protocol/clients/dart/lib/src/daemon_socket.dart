import 'dart:async';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'daemon_error.dart';

/// The longest line that is taken from the daemon, in bytes.
const maxLine = 64 * 1024 * 1024;

/// Where to look for the daemon, by the rule of protocol/README.md.
String locateSocket() {
  final chosen = Platform.environment['AESYNC_SOCKET'] ?? '';
  if (chosen.isNotEmpty) return chosen;
  const system = '/run/aesyncd/aesyncd.sock';
  final runtimeDir = Platform.environment['XDG_RUNTIME_DIR'] ?? '';
  return !runtimeDir.startsWith('/') || _isThere(system) ? system : '$runtimeDir/aesyncd/aesyncd.sock';
}

/// The name of the program that runs.
String programName() => Platform.resolvedExecutable.split(Platform.pathSeparator).last;

/// Whether a file is there, as far as this user can tell. A directory that may not be entered holds a system socket that this user may
/// not open: say that, rather than look elsewhere. (`FileSystemEntity.typeSync` says of both that nothing is there.)
bool _isThere(String path) {
  const noEntry = 2, notADirectory = 20;
  try {
    File(path).lengthSync();
    return true;
  } on FileSystemException catch (error) {
    final code = error.osError?.errorCode;
    return code != noEntry && code != notADirectory;
  }
}

/// One connection to the daemon: pipelined calls, and the events of its subscription.
class DaemonSocket {
  final Socket _socket;
  final void Function(Map<String, dynamic> params) _onEvent;
  final Completer<void> _ended = Completer<void>();
  final Map<int, Completer<Map<String, dynamic>>> _calls = {};
  final BytesBuilder _line = BytesBuilder();
  int _lastId = 0;

  DaemonSocket._(this._socket, this._onEvent) {
    _socket.listen(_read, onError: (Object error) => _end('$error'), onDone: () => _end('it is gone'));
    _socket.done.then((_) {}, onError: (Object error) => _end('$error'));
  }

  /// Connects to the socket at [path]; [onEvent] takes the params of each event. Whatever it throws counts as nonsense from the daemon
  /// and ends the connection, so that it must keep what the app throws to itself.
  static Future<DaemonSocket> connect(String path, void Function(Map<String, dynamic> params) onEvent) async {
    final address = InternetAddress(path, type: InternetAddressType.unix);
    try {
      return DaemonSocket._(await Socket.connect(address, 0, timeout: const Duration(seconds: 10)), onEvent);
    } on SocketException catch (error) {
      throw DaemonError('aesyncd does not answer at $path (${error.message}); start it, or run aesyncd', retryable: true);
    }
  }

  /// Completes when the connection has ended.
  Future<void> get ended => _ended.future;

  /// Calls a method; it fails with a [DaemonError], at the latest after [timeout].
  Future<Map<String, dynamic>> call(
    String method,
    Map<String, dynamic> params, {
    Duration timeout = const Duration(seconds: 10),
  }) {
    if (_ended.isCompleted) return Future.error(const DaemonError('the connection to aesyncd has ended', retryable: true));
    final id = ++_lastId;
    final answer = Completer<Map<String, dynamic>>();
    _calls[id] = answer;
    _socket.add(utf8.encode('${jsonEncode({'jsonrpc': '2.0', 'id': id, 'method': method, 'params': params})}\n'));
    return answer.future.timeout(timeout, onTimeout: () {
      _calls.remove(id);
      throw DaemonError('aesyncd did not answer $method within ${timeout.inSeconds} s; try again', retryable: true);
    });
  }

  /// Ends it.
  void close() => _end('it was closed');

  void _read(Uint8List data) {
    var from = 0;
    for (var end = data.indexOf(10); end >= 0; end = data.indexOf(10, from)) {
      _line.add(Uint8List.sublistView(data, from, end));
      from = end + 1;
      if (!_take(_line.takeBytes())) return;
    }
    _line.add(Uint8List.sublistView(data, from));
    if (_line.length > maxLine) _end('a line is longer than $maxLine bytes');
  }

  bool _take(Uint8List line) {
    try {
      final text = utf8.decode(line).trim();
      if (text.isNotEmpty) _dispatch(jsonDecode(text) as Map<String, dynamic>);
      return true;
    } on Object catch (error) {
      _end('what answers does not speak this protocol: $error');
      return false;
    }
  }

  void _dispatch(Map<String, dynamic> message) {
    if (message['method'] == 'event') return _onEvent(message['params'] as Map<String, dynamic>);
    if (message.containsKey('method')) return;
    final error = message['error'] as Map<String, dynamic>?;
    if (message['id'] == null && error != null) return _end(error['message'] as String);
    final answer = _calls.remove(message['id']);
    if (answer == null) return;
    if (error != null) {
      answer.completeError(DaemonError.fromJson(error));
    } else {
      answer.complete(message['result'] as Map<String, dynamic>);
    }
  }

  void _end(String why) {
    if (_ended.isCompleted) return;
    _ended.complete();
    _socket.destroy();
    for (final answer in _calls.values) {
      answer.completeError(DaemonError('the connection to aesyncd ended: $why', retryable: true));
    }
    _calls.clear();
  }
}
