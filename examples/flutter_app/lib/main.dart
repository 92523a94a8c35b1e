import 'dart:async';

import 'package:certpin/certpin.dart';
import 'package:dio/dio.dart';
import 'package:dio/io.dart';
import 'package:flutter/material.dart';

import 'accounts.dart';
import 'pins.dart';
import 'updates.dart';

const String _server = isDevelopment
    ? 'https://api.dev.bank.example'
    : 'https://api.bank.example';

Future<void> main() async {
  WidgetsFlutterBinding.ensureInitialized();
  final pins = await followedPins();
  final dio = Dio(
    BaseOptions(
      baseUrl: _server,
      connectTimeout: const Duration(seconds: 15),
    ),
  )..httpClientAdapter = IOHttpClientAdapter(
      createHttpClient: () => PinnedHttpClient(pins, app: reportedApp),
    );
  runApp(BankApp(accounts: Accounts(dio)));
}

/// The app: one screen, which shows what the server answers.
class BankApp extends StatelessWidget {
  /// An app on [accounts].
  const BankApp({required this.accounts, super.key});

  /// Where its data comes from.
  final Accounts accounts;

  @override
  Widget build(BuildContext context) {
    return MaterialApp(
      title: 'Bank',
      home: AccountsPage(accounts: accounts),
    );
  }
}

/// What the server answers, or why it could not be asked.
class AccountsPage extends StatefulWidget {
  /// A page on [accounts].
  const AccountsPage({required this.accounts, super.key});

  /// Where its data comes from.
  final Accounts accounts;

  @override
  State<AccountsPage> createState() => _AccountsPageState();
}

class _AccountsPageState extends State<AccountsPage> {
  String _shown = '…';
  bool _mayRetry = false;

  @override
  void initState() {
    super.initState();
    unawaited(_load());
  }

  Future<void> _load() async {
    String shown;
    var mayRetry = false;
    try {
      shown = await widget.accounts.load();
    } on ConnectionException catch (failure) {
      debugPrint(failure.logMessage);
      shown = failure.userMessage;
      mayRetry = failure.mayRetry;
    } on DioException catch (error) {
      shown = 'The server answered ${error.response?.statusCode}.';
      mayRetry = true;
    }
    if (mounted) {
      setState(() {
        _shown = shown;
        _mayRetry = mayRetry;
      });
    }
  }

  @override
  Widget build(BuildContext context) {
    return Scaffold(
      appBar: AppBar(title: const Text('Accounts')),
      body: Center(child: Text(_shown)),
      // No button where the connection is not safe: there is no way on.
      floatingActionButton: _mayRetry
          ? FloatingActionButton(
              onPressed: () => unawaited(_load()),
              child: const Icon(Icons.refresh),
            )
          : null,
    );
  }
}
