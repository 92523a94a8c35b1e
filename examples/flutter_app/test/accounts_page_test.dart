import 'package:bank_app/accounts.dart';
import 'package:bank_app/main.dart';
import 'package:certpin/certpin.dart';
import 'package:dio/dio.dart';
import 'package:flutter/material.dart';
import 'package:flutter_test/flutter_test.dart';

class _Failing extends Accounts {
  _Failing(this.failure) : super(Dio());

  final ConnectionException failure;

  @override
  Future<String> load() async => throw failure;
}

void main() {
  Future<void> show(WidgetTester tester, ConnectionException failure) async {
    await tester.pumpWidget(BankApp(accounts: _Failing(failure)));
    await tester.pumpAndSettle();
    expect(find.text(failure.userMessage), findsOneWidget);
  }

  testWidgets('an unsafe connection leaves no way on', (tester) async {
    const failure = PinMismatchException(
      'api.bank.example',
      presented: ['sha256/…'],
      pinned: ['sha256/…'],
      pinSet: 'bank-app v3',
    );
    await show(tester, failure);
    expect(find.byIcon(Icons.refresh), findsNothing);
  });

  testWidgets('a network that is away may be tried again', (tester) async {
    await show(tester, const NetworkException('no route'));
    expect(find.byIcon(Icons.refresh), findsOneWidget);
  });
}
