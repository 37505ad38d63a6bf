package main

// allRows are the comparisons, in the order of the table.
func allRows() []Row {
	var rows []Row
	rows = append(rows, rowsP1()...)
	rows = append(rows, rowsP2()...)
	rows = append(rows, rowsP3()...)
	rows = append(rows, rowsP4()...)
	rows = append(rows, rowsP5()...)
	rows = append(rows, rowsP6()...)
	rows = append(rows, rowsP6b()...)
	rows = append(rows, rowsP7()...)
	rows = append(rows, rowsP8()...)
	rows = append(rows, rowsP9()...)
	rows = append(rows, rowsP10()...)
	rows = append(rows, rowsP11()...)
	rows = append(rows, rowsP12()...)
	rows = append(rows, rowsP13()...)
	rows = append(rows, rowsLog()...)
	return rows
}
