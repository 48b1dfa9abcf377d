import 'dart:async';
import 'dart:math';

import 'daemon_error.dart';
import 'daemon_socket.dart';
import 'sync_notification.dart';
import 'sync_status.dart';

/// The documented client's methods and callbacks, on top of the daemon. The daemon holds the connection to the server, the outbox and the
/// replica; this only speaks to the daemon, and connects again whenever that goes away.
class SyncClient {
  /// The daemon's socket is found as every client finds it when [socketPath] is absent. [name] and [version] are how the daemon shows the
  /// app to those who ask who is connected; without them they are the program's name, and this package's version.
  SyncClient({String? socketPath, String? name, String? version})
      : _path = socketPath ?? locateSocket(),
        _client = {'name': name ?? programName(), 'version': version ?? 'aesync-dart/0.1.0'};

  /// The server's hints.
  Function(SyncNotification)? onNotification;

  /// The daemon's status, whenever its word changes.
  Function(SyncStatus)? onStatusChange;

  /// What went wrong, as a sentence.
  Function(String)? onError;

  /// The daemon has the app's subscription.
  Function()? onConnected;

  /// The daemon is away; the client goes on trying.
  Function()? onDisconnected;

  final String _path;
  final Map<String, String> _client;
  final Random _random = Random();
  DaemonSocket? _socket;
  SyncStatus? _status;
  bool _stopped = true;
  // Of the connection that is wanted. A loop of an earlier one that still waits for something ends when it sees another.
  int _generation = 0;

  /// Connects, and completes when the daemon is there. The daemon keeps a sign-in of its own: [token] is handed to it only while it has
  /// none that is good. That needs the role admin; an operator gets a call of [onError], and everything else works.
  Future<void> initialize(String token, String tenantId) async {
    if (!_stopped) return;
    _stopped = false;
    final first = Completer<void>();
    _generation += 1;
    unawaited(_stayConnected(token, tenantId, _generation, first));
    await first.future;
  }

  /// Queues entities by type, all of them or none; they are on disk when it completes, whether the server is there or not.
  Future<Map<String, dynamic>> pushChanges(Map<String, dynamic> changes) => _told('Push', () async {
        final answer = await _connected().call('push', {'changes': changes});
        final entries = (answer['entries'] as List<dynamic>).cast<Map<String, dynamic>>();
        final rows = changes.values.expand((rows) => rows as List<dynamic>).cast<Map<String, dynamic>>().toList();
        return {
          'success': true,
          'data': [
            for (var at = 0; at < entries.length; at++) {...rows[at], 'id': entries[at]['id']}
          ],
        };
      });

  /// Fetches what is new, if the server is there, and returns the replica's records of [entityTypes]: all of them, or those whose
  /// `updatedAt` is not before [lastSyncTimestamp]. Local changes that wait to be sent are among them.
  Future<Map<String, dynamic>> pullData(List<String> entityTypes, {String? lastSyncTimestamp}) => _told('Pull', () async {
        try {
          await _connected().call('pull', {'entityTypes': entityTypes}, timeout: const Duration(minutes: 2));
        } on DaemonError catch (error) {
          // The replica is there without the server.
          if (error.code == null || !error.retryable) rethrow;
        }
        return {
          'success': true,
          'data': {for (final type in entityTypes) type: await _records(type, lastSyncTimestamp)},
          'syncTimestamp': (await _connected().call('ping', {}))['time'],
        };
      });

  /// The server's own answer, not stored.
  Future<Map<String, dynamic>> pullPendingData(List<String> entityTypes) => _told('Pull pending', () async {
        final answer = await _connected()
            .call('pullPending', {'entityTypes': entityTypes}, timeout: const Duration(minutes: 2));
        return {'success': true, 'data': answer['data'], 'syncTimestamp': answer['syncTimestamp']};
      });

  /// Does nothing: the daemon tells the server's other clients its own status whenever that changes.
  void updateSyncStatus(SyncStatus status, {String? entityType}) {}

  /// Asks the daemon for a sign of life; [onError] hears when there is none.
  void ping() => _told('Ping', () => _connected().call('ping', {})).ignore();

  /// Ends the connection to the daemon. The daemon goes on.
  void disconnect() {
    if (_stopped) return;
    _stopped = true;
    _generation += 1;
    _socket?.close();
    _socket = null;
    _show(SyncStatus.offline);
  }

  Future<void> _stayConnected(String token, String tenantId, int generation, Completer<void> first) async {
    var failures = 0;
    while (generation == _generation) {
      DaemonSocket? opened;
      try {
        final socket = await DaemonSocket.connect(_path, _onEvent);
        opened = socket;
        if (generation != _generation) break;
        _socket = socket;
        await socket.call('hello', {'client': _client, 'protocol': 1});
        await socket.call('subscribe', {'channels': ['status', 'notification']});
        failures = 0;
        _tell(() => onConnected?.call());
        await _signIn(socket, token, tenantId);
        if (!first.isCompleted) first.complete();
        await socket.ended;
        _tell(() => onDisconnected?.call());
      } on Object catch (error) {
        // Whatever it was: the loop goes on, or `initialize` would never complete.
        if (generation == _generation) _tell(() => onError?.call('Connection failed: $error'));
      } finally {
        opened?.close();
      }
      if (generation != _generation) break;
      _socket = null;
      _show(SyncStatus.offline);
      // 50 ms to 5 s; half of it is random, so that apps do not all come back in the same instant.
      final ceiling = min(5000, 50 << min(failures++, 7));
      await Future<void>.delayed(Duration(milliseconds: ceiling ~/ 2 + _random.nextInt(ceiling ~/ 2 + 1)));
    }
    if (!first.isCompleted) first.completeError(const DaemonError('the client was disconnected'));
  }

  /// Runs what the app gave: an exception in there is the app's own, and is reported as one that nobody caught. The connection goes on.
  void _tell(void Function() callback) {
    try {
      callback();
    } on Object catch (error, trace) {
      Zone.current.handleUncaughtError(error, trace);
    }
  }

  Future<void> _signIn(DaemonSocket socket, String token, String tenantId) async {
    final status = await socket.call('status', {});
    final auth = (status['auth'] as Map<String, dynamic>)['state'];
    if (auth == 'valid' || auth == 'expiring') {
      final tenant = (status['server'] as Map<String, dynamic>)['tenantId'];
      if (tenant != tenantId) _tell(() => onError?.call('The daemon is signed in to tenant $tenant, not to $tenantId'));
      return;
    }
    try {
      await socket.call('auth.setToken', {'token': token, 'tenantId': tenantId});
    } on DaemonError catch (error) {
      _tell(() => onError?.call('Authentication failed: $error'));
    }
  }

  void _onEvent(Map<String, dynamic> params) {
    if (params['channel'] == 'status') {
      final word = (params['status'] as Map<String, dynamic>)['status'];
      _show(SyncStatus.values.firstWhere((status) => status.name == word, orElse: () => SyncStatus.pending));
    } else if (params['channel'] == 'notification') {
      final notification = SyncNotification.fromJson(params['notification'] as Map<String, dynamic>);
      _tell(() => onNotification?.call(notification));
    }
  }

  void _show(SyncStatus status) {
    if (status == _status) return;
    _status = status;
    _tell(() => syncStatusNotifier.setStatus(status));
    _tell(() => onStatusChange?.call(status));
  }

  Future<List<dynamic>> _records(String entityType, String? since) async {
    final found = <dynamic>[];
    String? after;
    do {
      final params = {'entityType': entityType, 'limit': 1000, if (after != null) 'after': after};
      final page = await _connected().call('records.list', params);
      for (final listed in (page['records'] as List<dynamic>).cast<Map<String, dynamic>>()) {
        final record = listed['record'] as Map<String, dynamic>;
        final updatedAt = record['updatedAt'];
        final old = since != null && updatedAt is String && updatedAt.compareTo(since) < 0;
        if (!old || listed['pending'] == true) found.add(record);
      }
      after = page['next'] as String?;
    } while (after != null);
    return found;
  }

  DaemonSocket _connected() => _socket ?? (throw const DaemonError('aesyncd is not there', retryable: true));

  Future<Map<String, dynamic>> _told(String what, Future<Map<String, dynamic>> Function() call) async {
    try {
      return await call();
    } on DaemonError catch (error) {
      _tell(() => onError?.call('$what error: $error'));
      rethrow;
    }
  }
}
